import os
import signal
import time

import pytest

from mmvovnet.engine.lock import lock_work_dir, make_work_dir


def forked(function):
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(0)
    return child


@pytest.fixture
def holder(tmp_path):
    """The pid of another process that holds the lock of ``tmp_path``."""

    def hold():
        with lock_work_dir(tmp_path):
            (tmp_path / 'held').touch()
            time.sleep(60)

    pid = forked(hold)
    while not (tmp_path / 'held').exists():
        time.sleep(0.01)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_second_is_refused_with_pid_and_host(tmp_path, holder):
    host = os.uname().nodename
    with (
        pytest.raises(RuntimeError, match=f'pid {holder} on {host}'),
        lock_work_dir(tmp_path),
    ):
        pass


def test_a_dead_process_holds_nothing(tmp_path):
    def die():
        with lock_work_dir(tmp_path):
            forked(lambda: time.sleep(3))  # such as a data loader's worker
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(forked(die), 0)
    for _ in range(2):
        with lock_work_dir(tmp_path):
            assert (tmp_path / '.training').read_text().startswith('pid ')


def test_folder_that_cannot_be_written_to(tmp_path):
    file = tmp_path / 'file'
    file.touch()
    with pytest.raises(OSError, match=f"'{file}' cannot be written to"):
        make_work_dir(file)
