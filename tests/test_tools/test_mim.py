"""The commands of the README, run as a user runs them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'demo' / 'fcos_vovnet27-slim_digits.py'
FEW = [
    '--cfg-options',
    'train_dataloader.dataset.indices=8',
    'val_dataloader.dataset.indices=4',
    'test_dataloader.dataset.indices=4',
    'default_hooks.logger.interval=1',
    'model.test_cfg.score_thr=0.0',  # so that there is something to score
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    pytest.importorskip('mim', reason='openmim is not installed')
    pytest.importorskip('mmdet', exc_type=ImportError)
    return tmp_path_factory.mktemp('mim')


def mim(folder, command, *args):
    done = subprocess.run(
        [sys.executable, '-m', 'mim', command, 'mmdet', CONFIG, *args],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def losses(work_dir):
    """Step and loss of every iteration, in the order of the runs."""
    scalars = [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    return [(s['step'], s['loss']) for s in scalars if 'loss' in s]


@pytest.mark.slow  # tests/test_tools/test_train.py does the same in-process
def test_train_resume_test(folder):
    work_dir = folder / 'run'
    args = ['--work-dir', work_dir]
    mim(folder, 'train', *args, *FEW, 'train_cfg.max_epochs=1')
    assert [step for step, _ in losses(work_dir)] == [1, 2]
    output = mim(
        folder, 'train', *args, '--resume', *FEW, 'train_cfg.max_epochs=2'
    )
    assert 'resumed epoch: 1' in output
    assert [step for step, _ in losses(work_dir)] == [1, 2, 3, 4]

    checkpoint = work_dir / 'epoch_2.pth'
    output = mim(folder, 'test', '--checkpoint', checkpoint, *FEW)
    assert re.search(r'coco/bbox_mAP: \d\.\d+', output)


@pytest.mark.slow  # tests/test_engine/test_runner.py has two processes too
def test_train_on_two_processes(folder):
    work_dir = folder / 'two'
    mim(
        folder,
        'train',
        '--launcher',
        'pytorch',
        '--gpus',
        '2',
        '--work-dir',
        work_dir,
        *FEW,
        'train_cfg.max_epochs=1',
    )
    # 8 images are 2 processes x 4 images x 1 iteration.
    assert [step for step, _ in losses(work_dir)] == [1]
    assert (work_dir / 'epoch_1.pth').exists()
