"""The time of the stack machine is in proportion to the file."""

import io
import time

import pytest

from mmvovnet.weights.objects import NAMES, set_state
from mmvovnet.weights.pickles import PickleReader


@pytest.mark.parametrize(
    'steps', [b'Na', b'\x8c\x01aNs'], ids=['appends', 'items of a dict']
)
def test_a_deep_stack_is_not_copied(steps):
    container = b']' if steps == b'Na' else b'}'
    count = 60_000
    content = b'\x80\x02' + b'N' * count + container + steps * count + b'.'
    reader = PickleReader(NAMES, set_state, None, 2**24)
    start = time.process_time()
    found = reader.read(io.BytesIO(content))
    assert time.process_time() - start < 3  # it took minutes
    assert len(found) in (1, count)
