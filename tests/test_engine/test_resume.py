import shutil
from collections import deque
from types import SimpleNamespace
from unittest.mock import Mock, patch

import mmengine.hooks
import numpy as np
import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.registry import HOOKS

from mmvovnet.engine import CheckpointHook
from mmvovnet.engine.resume import newest, saved
from mmvovnet.weights import load

from . import toy


def last(folder):
    """The last checkpoint of a run: its weights and its losses."""
    checkpoint = load((folder / 'last_checkpoint').read_text())
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert len(history.data[0]) == toy.EPOCHS * toy.ITERS
    return checkpoint['state_dict'], history.data[0]


def assert_equal(first, second):
    (weights, losses), (other_weights, other_losses) = first, second
    torch.testing.assert_close(weights, other_weights, rtol=0, atol=1e-6)
    np.testing.assert_allclose(losses, other_losses, rtol=0, atol=1e-6)


@pytest.mark.parametrize('case', toy.CASES)
@pytest.mark.parametrize('by', ['SIGKILL', 'SIGTERM'])
def test_resumed_run_equals_an_uninterrupted_one(trained, case, by):
    assert_equal(
        last(trained / f'{case}-whole'), last(trained / f'{case}-{by}')
    )


@pytest.fixture
def resumed(trained, tmp_path, build):
    """Resumes a training of which only the second checkpoint is whole."""

    def resumed(**changes):
        shutil.copytree(trained / 'epoch-whole', tmp_path, dirs_exist_ok=True)
        for name, size in (('epoch_3.pth', 2000), ('epoch_1.pth', 0)):
            torn = tmp_path / name
            torn.write_bytes(torn.read_bytes()[:size])
        loader = toy.config(tmp_path, workers=2)['train_dataloader']
        build(train_dataloader=loader, resume=True, **changes).train()
        return last(tmp_path)

    return resumed


def test_falls_back_to_the_checkpoint_before(trained, resumed):
    assert_equal(resumed(), last(trained / 'epoch-whole'))


def test_so_does_the_runner_of_strategies(trained, resumed):
    _, losses = resumed(
        runner_type='mmvovnet.FlexibleRunner',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
    )
    before = 2 * toy.ITERS
    assert (losses == last(trained / 'epoch-whole')[1])[:before].all()


def test_code_in_a_checkpoint_does_not_run(trained, tmp_path, build):
    """mmengine runs ``meta['config']`` when it resumes."""
    checkpoint = load(trained / 'epoch-whole' / 'epoch_2.pth')
    mark = tmp_path / 'mark'
    checkpoint['meta']['config'] = f'a = open({str(mark)!r}, "w")'
    torch.save(checkpoint, tmp_path / 'hostile.pth')
    build(resume=True, load_from=str(tmp_path / 'hostile.pth')).train()
    assert not mark.exists()


def save(path, iterations):
    torch.save(dict(meta=dict(iter=iterations)), path)


def test_latest_by_number_not_by_name_or_time(tmp_path):
    for number in (10, 9, 2):
        save(tmp_path / f'epoch_{number}.pth', number)
    (tmp_path / 'epoch_11.pth').touch()
    (tmp_path / 'best_mAP_epoch_12.pth').touch()
    names = [path.name for path in saved(tmp_path, 'epoch_{}.pth')]
    assert names == [f'epoch_{n}.pth' for n in (2, 9, 10, 11)]
    assert newest(tmp_path, 'epoch_{}.pth').name == 'epoch_10.pth'


@pytest.mark.parametrize(
    'iterations, expected',
    # As many: a signal stopped the validation.
    [(19, 'epoch_2.pth'), (20, 'interrupted.pth'), (21, 'interrupted.pth')],
)
@pytest.mark.parametrize('out', [None, 'elsewhere'])
def test_interrupted_if_it_is_newer(tmp_path, iterations, expected, out):
    folder = tmp_path / (out or '')
    folder.mkdir(exist_ok=True)
    save(folder / 'epoch_2.pth', 20)
    save(tmp_path / 'interrupted.pth', iterations)
    assert newest(tmp_path, 'epoch_{}.pth', folder).name == expected


def test_interrupted_alone(tmp_path):
    save(tmp_path / 'interrupted.pth', 3)
    assert newest(tmp_path, 'epoch_{}.pth').name == 'interrupted.pth'


def choose(work_dir, **options):
    """A runner that resumes by itself, once it has chosen its checkpoint."""
    runner = SimpleNamespace(
        work_dir=str(work_dir), _resume=True, _load_from=None, logger=Mock()
    )
    CheckpointHook(**options).before_run(runner)
    return runner


@pytest.mark.parametrize(
    ('named', 'warnings'),
    [
        (None, 1),
        (b'', 1),
        (b'\xff\x00', 1),
        (b'epoch_1.pth', 1),
        (b'/elsewhere/epoch_3.pth', 1),
        (b'{folder}/epoch_1.pth', 1),
        (b'{folder}/epoch_2.pth', 0),
    ],
)
def test_work_dir_is_searched_whatever_the_pointer_says(
    tmp_path, named, warnings
):
    for number in (1, 2):
        save(tmp_path / f'epoch_{number}.pth', number)
    (tmp_path / 'epoch_3.pth').touch()
    if named is not None:
        named = named.replace(b'{folder}', bytes(tmp_path))
        (tmp_path / 'last_checkpoint').write_bytes(named)
    runner = choose(tmp_path)
    assert runner._load_from == f'{tmp_path}/epoch_2.pth'
    assert runner.logger.warning.call_count == warnings


def test_starts_from_scratch_if_none_is_whole(tmp_path):
    (tmp_path / 'epoch_1.pth').touch()
    (tmp_path / 'last_checkpoint').write_text(f'{tmp_path}/epoch_1.pth')
    runner = choose(tmp_path)
    assert (runner._resume, runner._load_from) == (False, None)
    assert 'starts from scratch' in runner.logger.warning.call_args.args[0]


@pytest.mark.parametrize('given', ['out', 'out/run'])
def test_checkpoints_in_another_folder(tmp_path, given):
    """mmengine adds the name of the work_dir to that of ``out_dir``."""
    work_dir, out = tmp_path / 'run', tmp_path / 'out' / 'run'
    work_dir.mkdir()
    out.mkdir(parents=True)
    save(out / 'epoch_1.pth', 1)
    runner = choose(work_dir, out_dir=str(tmp_path / given))
    assert runner._load_from == f'{out}/epoch_1.pth'


@pytest.mark.parametrize('named', ['s3://bucket/epoch_3.pth', 'a folder'])
def test_remote_and_sharded_checkpoints_are_not_judged(tmp_path, named):
    named = named if '://' in named else str(tmp_path)
    (tmp_path / 'last_checkpoint').write_text(named)
    runner = choose(tmp_path)
    assert (runner._resume, runner._load_from) == (True, None)
    runner.logger.warning.assert_not_called()


@pytest.mark.parametrize('sharded', [True, False])
def test_the_oldest_goes_after_the_newest_is_saved(tmp_path, sharded):
    """DeepSpeed's are folders."""
    oldest = tmp_path / 'epoch_1.pth'
    oldest.mkdir() if sharded else oldest.touch()
    hook = HOOKS.build(dict(type='CheckpointHook', max_keep_ckpts=1))
    assert type(hook) is CheckpointHook
    hook.keep_ckpt_ids = deque([1])
    hook.out_dir, hook.filename_tmpl = str(tmp_path), 'epoch_{}.pth'
    hook.file_backend = get_file_backend(str(tmp_path))
    with patch.object(
        mmengine.hooks.CheckpointHook,
        '_save_checkpoint_with_step',
        side_effect=lambda *_: oldest.stat(),
    ) as save:
        runner = SimpleNamespace(work_dir=str(tmp_path))
        hook._save_checkpoint_with_step(runner, 2, {})
    assert save.call_count == 1 and not oldest.exists()
