import os
import subprocess
import sys

from mmvovnet.fileio import part_folder, remove_leftovers


def test_only_of_processes_that_are_gone(tmp_path):
    gone = subprocess.Popen([sys.executable, '-S', '-c', ''])
    gone.wait()
    mine = tmp_path / f'epoch_1.pth.{os.getpid()}.part'
    other = tmp_path / 'notes.part'
    left = tmp_path / 'run' / f'epoch_2.pth.{gone.pid}.part'
    folder = tmp_path / f'model.onnx.{gone.pid}.part'
    left.parent.mkdir()
    folder.mkdir()
    for path in (mine, other, left, folder / 'model.onnx'):
        path.touch()
    assert set(remove_leftovers(tmp_path)) == {left, folder}
    assert mine.exists() and other.exists()
    assert not left.exists() and not folder.exists()


def test_folder_of_a_killed_process_is_removed_by_the_next(tmp_path):
    gone = subprocess.Popen([sys.executable, '-S', '-c', ''])
    gone.wait()
    left = tmp_path / f'model.onnx.{gone.pid}.part'
    other = tmp_path / f'other.onnx.{gone.pid}.part'
    left.mkdir()
    other.mkdir()
    with part_folder(tmp_path / 'model.onnx') as folder:
        assert sorted(tmp_path.iterdir()) == sorted([folder, other])
    assert list(tmp_path.iterdir()) == [other]
