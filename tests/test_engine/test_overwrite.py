"""What becomes of the files in the work_dir."""

import shutil

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmvovnet.weights import CheckpointError, load

from . import toy


@HOOKS.register_module()
class Remove(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == toy.ITERS + 1:
            shutil.rmtree(runner.work_dir)


@pytest.mark.parametrize('name', ['epoch_12.pth', 'interrupted.pth'])
def test_starting_anew_needs_saying_so(tmp_path, build, name):
    earlier = tmp_path / name
    earlier.touch()
    with pytest.raises(FileExistsError, match=f"'{earlier}' is of an earlier"):
        build().train()
    build(overwrite=True).train()
    assert not earlier.exists()
    assert len(list(tmp_path.glob('epoch_*.pth'))) == toy.EPOCHS


def test_weights_alone_cannot_be_resumed(tmp_path, build):
    weights = tmp_path / 'weights.pth'
    torch.save(toy.Toy().state_dict(), weights)
    with pytest.raises(CheckpointError, match='set load_from'):
        build(resume=True, load_from=str(weights)).train()


def test_oldest_goes_when_the_new_one_is_saved(tmp_path, build):
    cfg = toy.config(tmp_path)['default_hooks']
    cfg['checkpoint']['max_keep_ckpts'] = 1
    runner = build(default_hooks=cfg)
    seen = []
    save = runner.save_checkpoint

    def spy(*args, **kwargs):
        seen.append(sorted(path.name for path in tmp_path.glob('*.pth')))
        save(*args, **kwargs)

    runner.save_checkpoint = spy
    runner.train()
    assert seen == [[], ['epoch_1.pth'], ['epoch_2.pth']]
    (last,) = tmp_path.glob('*.pth')
    assert last.name == 'epoch_3.pth' and load(last)['meta']['epoch'] == 3


def test_training_says_how_much_was_loaded(tmp_path, build, caplog):
    file = tmp_path / 'weights.pth'
    state = toy.Toy().state_dict()
    del state['layers.4.bias']
    state['layers.4.weight'] = torch.zeros(2, 8, 3, 3)
    torch.save(state, file)
    build(load_from=str(file), log_level='INFO').train()
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert f"'{file}' holds 4 of 6 weights; missing are layers.4.bias" in log
    assert 'layers.4.weight (2, 8, 3, 3) (here (1, 8, 3, 3))' in log


def test_training_refuses_a_file_of_which_nothing_fits(tmp_path, build):
    file = tmp_path / 'weights.pth'
    torch.save(dict(other=torch.zeros(2)), file)
    with pytest.raises(CheckpointError, match='it holds 0 of 6 weights'):
        build(load_from=str(file)).train()
    assert not list(tmp_path.glob('epoch_*.pth'))


def test_work_dir_that_is_removed(tmp_path, build):
    logs = dict(log_level='INFO', work_dir=str(tmp_path / 'run'))
    runner = build(**logs, custom_hooks=[dict(type='Remove')])
    with pytest.raises(FileNotFoundError, match="run' was removed during"):
        runner.train()
