import multiprocessing
from pathlib import Path

import pytest

from mmvovnet.weights.download import cached, fetch
from mmvovnet.weights.transfer import DownloadError

from .server import page, serve, status, whole


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    return tmp_path


def files(folder):
    return [path for path in folder.rglob('*') if path.is_file()]


def test_an_address_is_asked_once():
    with serve({'/a.pth': (b'abc', whole)}) as (url, requests):
        first = fetch(f'{url}/a.pth', size=3, sha256='ba7816bf')
        assert first.read_bytes() == b'abc'
        assert fetch(f'{url}/a.pth') == first
        assert len(requests) == 1


def test_one_name_at_two_addresses():
    served = {'/1/a.pth': (b'one', whole), '/2/a.pth': (b'two', whole)}
    with serve(served) as (url, _):
        assert fetch(f'{url}/1/a.pth').read_bytes() == b'one'
        assert fetch(f'{url}/2/a.pth').read_bytes() == b'two'


@pytest.mark.parametrize(
    ('content', 'respond', 'more', 'message'),
    [
        (b'abc', status(404), {}, 'HTTP 404'),
        (b'abc', page, {}, 'web page'),
        (b'\n<!doctype html>', whole, {}, 'web page'),
        (b'version https://git-lfs.github.com/spec/v1\n', whole, {}, 'LFS'),
        (b'abc', whole, dict(size=4), '3 bytes came, and it has 4'),
        (b'abc', whole, dict(sha256='1234'), 'begins ba78, and its own 1234'),
    ],
)
def test_what_is_not_the_file_leaves_nothing(
    cache, content, respond, more, message
):
    with (
        serve({'/a.pth': (content, respond)}) as (url, _),
        pytest.raises(DownloadError, match=message) as caught,
    ):
        fetch(f'{url}/a.pth', source='https://example.org', **more)
    assert not files(cache)
    said = str(caught.value)
    assert f"Save a copy of it as '{cached(f'{url}/a.pth')}'" in said
    assert 'published on https://example.org' in said


def test_a_copy_by_hand_is_taken():
    url = 'http://127.0.0.1:9/a.pth'
    cached(url).parent.mkdir(parents=True)
    cached(url).write_bytes(b'by hand')
    assert fetch(url).read_bytes() == b'by hand'


def test_two_processes_at_once(cache):
    content = b'x' * 10**6
    context = multiprocessing.get_context('fork')
    with (
        serve({'/a.pth': (content, whole)}) as (url, _),
        context.Pool(2) as pool,
    ):
        paths = pool.map(fetch, [f'{url}/a.pth'] * 4)
    assert len(set(paths)) == 1
    assert Path(paths[0]).read_bytes() == content
    assert len(files(cache)) == 1
