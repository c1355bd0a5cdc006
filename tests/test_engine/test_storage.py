import os
import signal
from functools import partial

import pytest
from mmengine import fileio
from mmengine.runner import save_checkpoint

from mmvovnet.engine import LocalBackend

WRITERS = {
    'put': lambda path: LocalBackend().put(b'new', path),
    'put_text': lambda path: LocalBackend().put_text('new', path),
    'by name': lambda path: fileio.get_file_backend(
        backend_args=dict(backend='local')
    ).put(b'new', path),
    'dump': partial(fileio.dump, dict(a='new')),
    'save_checkpoint': lambda path: save_checkpoint({}, str(path)),
}


@pytest.mark.parametrize('write', WRITERS.values(), ids=WRITERS)
def test_killed_writer_leaves_the_file_alone(tmp_path, write):
    path = tmp_path / 'a.json'
    path.write_text('old')
    child = os.fork()
    if child == 0:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        write(path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert path.read_text() == 'old'
    write(path)
    assert path.read_bytes() != b'old'


def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError('No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    path = tmp_path / 'a.pth'
    path.write_text('old')
    with pytest.raises(OSError, match='No space'):
        LocalBackend().put(b'new', path)
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_text_folder_and_mode(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'a.txt'
    LocalBackend().put_text('häßlich\n', path, encoding='latin-1')
    assert path.read_bytes() == b'h\xe4\xdflich\n'
    usual = tmp_path / 'usual'
    usual.touch()
    assert path.stat().st_mode == usual.stat().st_mode


def test_link_stays_a_link(tmp_path):
    target, link = tmp_path / 'target', tmp_path / 'link'
    link.symlink_to(target)
    LocalBackend().put(b'new', link)
    assert link.is_symlink() and target.read_bytes() == b'new'


def test_pipe_stays_a_pipe(tmp_path):
    path = tmp_path / 'pipe'
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR)
    LocalBackend().put(b'new', path)
    assert os.read(reader, 3) == b'new' and path.is_fifo()
    os.close(reader)
