"""The time of the stack machine is in proportion to the file."""

import io
import time
from itertools import islice, product

import pytest

from mmvovnet.weights import CheckpointError
from mmvovnet.weights.pickles import PickleReader

from .opcodes import call, dict_, integer, list_, text, tuple_

MODULUS = 2**61 - 1  # of the hash of numbers
COUNT = 19_990


def read(content):
    reader = PickleReader(None, 2**24)
    return reader.read(io.BytesIO(b'\x80\x02' + content + b'.'))


@pytest.mark.parametrize(
    'steps', [b'Na', b'\x8c\x01aNs'], ids=['appends', 'items of a dict']
)
def test_a_deep_stack_is_not_copied(steps):
    container = b']' if steps == b'Na' else b'}'
    count = 60_000
    start = time.process_time()
    found = read(b'N' * count + container + steps * count)
    assert time.process_time() - start < 3  # it took minutes
    assert len(found) in (1, count)


def colliding_tuples():
    """Of 16 numbers of at most 64 bits, each tuple of one hash."""
    numbers = [integer(i * MODULUS) for i in range(-4, 5)]
    for tail in islice(product(numbers, repeat=5), COUNT):
        yield tuple_(*[integer(0)] * 11, *tail)


def colliding_complex():
    """real + 1000003 * imaginary is 0."""
    for i in range(COUNT):
        parts = integer(-1_000_003 * i), integer(i)
        yield call('builtins.complex', *parts)


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (colliding_tuples(), 'more than 20000 keys'),
        (colliding_complex(), 'builtins.complex'),
        (
            (integer(MODULUS << i) for i in range(9, 900)),
            'numbers of at most 64 bits',
        ),
        (
            (tuple_(integer(MODULUS << i)) for i in range(900, 1000)),
            'numbers of at most 64 bits',
        ),
    ],
    ids=['tuples', 'complex', 'wide numbers', 'tuples of wide numbers'],
)
def test_keys_that_collide_are_refused_at_once(keys, message):
    content = dict_(*(key + b'N' for key in keys))
    start = time.process_time()
    with pytest.raises(CheckpointError, match=message):
        read(content)
    assert time.process_time() - start < 1  # it took 4 to 48


def test_keys_of_checkpoints_are_read():
    tuples = [tuple_(integer(i), integer(2**63)) for i in range(900)]
    keys = [*map(integer, range(1000)), *tuples]
    found = read(dict_(*(key + b'N' for key in keys)))
    assert len(found) == 1900


def test_texts_of_4096_characters_are_the_longest_keys():
    longest = dict_(text('a' * 4096) + b'N')
    assert read(longest) == {'a' * 4096: None}
    with pytest.raises(CheckpointError, match='at most 4096 characters'):
        read(dict_(text('a' * 4097) + b'N'))


def test_copies_of_a_counter_count_their_keys():
    """Each copy would compare its colliding keys anew."""
    keys = [tuple_(integer(i * MODULUS)) + b'N' for i in range(-4, 5)]
    copy = call('collections.Counter', b'h\x01')
    content = list_(dict_(*keys) + b'q\x01', *[copy] * 200)
    with pytest.raises(CheckpointError, match='more than 20000 keys'):
        read(content)
