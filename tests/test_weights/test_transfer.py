import errno
import shutil
from collections import namedtuple

import pytest

from mmvovnet.weights import transfer as module
from mmvovnet.weights.transfer import DownloadError, transfer

from .server import breaking, page, ranges, serve, slow, status, whole

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, '_WAIT', 0.001)


def get(respond, tmp_path, content=CONTENT, **more):
    """Transfer one file; give it and what was asked of the server."""
    with serve({'/a.pth': (content, respond), **more}) as (url, requests):
        path = tmp_path / 'a.part'
        transfer(f'{url}/a.pth', path)
        return path.read_bytes(), requests


@pytest.mark.parametrize('respond', [whole, ranges, slow(0.2)])
def test_a_file_arrives(respond, tmp_path):
    assert get(respond, tmp_path)[0] == CONTENT


def test_goes_on_where_the_connection_broke(tmp_path):
    content, requests = get(breaking(2), tmp_path)
    assert content == CONTENT
    half = len(CONTENT) // 2
    asked = [r[2] for r in requests]
    assert asked == [None, f'bytes={half}-', f'bytes={half + half // 2}-']


def test_begins_anew_where_a_server_cannot_go_on(tmp_path):
    content, requests = get(breaking(2, whole), tmp_path)
    assert content == CONTENT
    assert [r[2] for r in requests] == [None] * 3


def test_a_file_that_changed_is_not_spliced(tmp_path):
    """The server has another version when the connection is made again."""
    other = CONTENT[::-1]

    def change(handler, content):
        handler.files['/a.pth'] = (other, ranges)
        breaking(1)(handler, content)

    assert get(change, tmp_path)[0] == other


def test_redirects_are_followed(tmp_path):
    moved = status(302, Location='/b.pth')
    content, _ = get(moved, tmp_path, **{'/b.pth': (CONTENT, whole)})
    assert content == CONTENT


def test_a_busy_server_is_asked_again(tmp_path):
    content, requests = get(status(503, times=2), tmp_path)
    assert content == CONTENT
    assert len(requests) == 3


@pytest.mark.parametrize('code', [401, 403, 404, 410])
def test_what_is_not_there_is_asked_for_once(code, tmp_path):
    with (
        serve({'/a.pth': (b'', status(code))}) as (url, requests),
        pytest.raises(DownloadError, match=f'HTTP {code}'),
    ):
        transfer(f'{url}/a.pth', tmp_path / 'a.part')
    assert len(requests) == 1


def test_gives_up_in_the_end(tmp_path):
    with pytest.raises(DownloadError, match='5 tries failed.*broke after'):
        get(breaking(99), tmp_path)


def test_a_page_is_no_file(tmp_path):
    with pytest.raises(DownloadError, match='sends a web page'):
        get(page, tmp_path)


def test_silence_is_a_broken_connection(tmp_path, monkeypatch):
    for name in ('_TIMEOUT', '_CONNECT'):
        monkeypatch.setattr(module, name, 0.1)
    monkeypatch.setattr(module, 'TRIES', 2)
    with pytest.raises(DownloadError, match='2 tries failed.*timed out'):
        get(slow(2, pieces=1), tmp_path)


def test_nobody_there(tmp_path):
    with pytest.raises(DownloadError, match='refused'):
        transfer('http://127.0.0.1:9/a.pth', tmp_path / 'a.part')


def test_no_space_is_told_before(tmp_path, monkeypatch):
    usage = namedtuple('usage', 'free')(100)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(DownloadError, match='256000 bytes.*100 left'):
        get(whole, tmp_path)


def test_no_space_is_told_when_it_shows(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(shutil, 'copyfileobj', full)
    with pytest.raises(DownloadError, match='no space is left'):
        get(whole, tmp_path)


def test_files_of_this_machine_are_not_served(tmp_path):
    with pytest.raises(DownloadError, match='http'):
        transfer('file:///etc/hostname', tmp_path / 'a.part')


@pytest.mark.parametrize('code', [408, 425, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(tmp_path, code):
    with serve({'/a': (b'abc', status(code, 1))}) as (url, requests):
        transfer(f'{url}/a', tmp_path / 'a')
    assert (tmp_path / 'a').read_bytes() == b'abc' and len(requests) == 2
