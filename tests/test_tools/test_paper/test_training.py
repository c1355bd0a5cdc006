import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from paper import training
from paper.cifar import DATA, NETWORKS
from paper.residual import CONFIGS

from mmvovnet.engine import load_config
from mmvovnet.weights import is_whole, load

CONFIG = 'vovnet39-narrow_digits'


def confusion(checkpoint, **backbone):
    """How many held-out images of a class (rows) got which label."""
    cfg = load_config(training.CONFIGS / f'{CONFIG}.py')
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.update(backbone)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(load(checkpoint)['state_dict'])
    counts = torch.zeros(10, 10)
    for batch in Runner.build_dataloader(cfg.test_dataloader):
        for sample in model.test_step(batch):
            counts[int(sample.gt_label), int(sample.pred_label)] += 1
    return counts


def test_losses_are_means_of_epochs(monkeypatch, tmp_path):
    scalars = SimpleNamespace(data=(np.array([4.0, 2.0, 1.0, 0.0]), None))
    runner = Mock()
    runner.message_hub.get_scalar.return_value = scalars
    runner.test.return_value = {'accuracy/top1': 87.5}
    monkeypatch.setattr(training.RUNNERS, 'build', lambda cfg: runner)
    run = training.train(CONFIG, 0, tmp_path, epochs=2)
    assert (run.error, run.losses) == (12.5, [3.0, 0.5])
    runner.message_hub.get_scalar.assert_called_with('train/loss')


@pytest.mark.slow
def test_a_training_is_done_once(tmp_path, capsys):
    run = training.train(CONFIG, 1, tmp_path, epochs=1, identity=False)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith(f'{CONFIG}_identity-False_1e_seed1_')
    assert '1e_seed1: error ' in capsys.readouterr().out
    assert 0 <= run.error <= 100
    assert len(run.losses) == 1
    assert is_whole(run.checkpoint)
    assert is_whole(run.initial)

    counts = confusion(run.checkpoint, identity=False)
    assert counts.sum() == 360
    errors = 100 * (1 - counts.trace() / counts.sum())
    assert run.error == pytest.approx(float(errors))

    record = folder / 'result.json'
    record.write_text(json.dumps(dict(error=12.5, losses=[0.5])))
    again = training.train(CONFIG, 1, tmp_path, epochs=1, identity=False)
    assert (again.error, again.losses) == (12.5, [0.5])


def test_a_result_is_that_of_one_code_and_one_machine(monkeypatch, tmp_path):
    cfg = Config(dict(model=dict(type='A'), work_dir='here'))
    mine = training.fingerprint(cfg)
    assert len(mine) == 8  # a part of folders' names
    moved = Config(dict(model=dict(type='A'), work_dir='there'))
    assert training.fingerprint(moved) == mine
    other = Config(dict(model=dict(type='B'), work_dir='here'))
    assert training.fingerprint(other) != mine
    with monkeypatch.context() as patch:
        patch.setattr(training, 'describe_machine', lambda setting: 'a GPU')
        assert training.fingerprint(cfg) != mine
    with monkeypatch.context() as patch:
        patch.setattr(training.torch, '__version__', '3.0')
        assert training.fingerprint(cfg) != mine
    package = Path(training.mmvovnet.__file__).parent
    copied = tmp_path / 'mmvovnet'
    for room in ('models', 'datasets'):
        shutil.copytree(package / room, copied / room)
    monkeypatch.setattr(
        training.mmvovnet, '__file__', str(copied / '__init__.py')
    )
    assert training.fingerprint(cfg) == mine
    (copied / 'models' / 'osa.py').write_text('changed')
    assert training.fingerprint(cfg) != mine


@pytest.mark.parametrize('data', DATA)
def test_the_recipe_is_that_of_densenet(data):
    for name in NETWORKS:
        path = training.CONFIGS / f'{name}_{data}.py'
        cfg = Config.fromfile(path)
        epochs = cfg.train_cfg.max_epochs
        assert epochs == (300 if data == 'cifar10' else epochs)
        assert cfg.param_scheduler.milestones == [epochs / 2, epochs * 3 / 4]
        assert cfg.train_dataloader.batch_size == 64
        optimizer = dict(cfg.optim_wrapper.optimizer)
        assert optimizer == dict(
            type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
        )
        arguments = [
            cfg.model.backbone[key] for key in ('block', 'num_layers', 'width')
        ]
        assert tuple(arguments) == NETWORKS[name][1]


@pytest.mark.parametrize('arch', CONFIGS)
def test_narrowed_networks_are_as_deep_as_the_arch(arch):
    from mmvovnet import VoVNet

    path = training.CONFIGS / f'{CONFIGS[arch]}.py'
    narrow = Config.fromfile(path).model.backbone.arch
    full = VoVNet.arch_settings[arch]
    for key in ('num_modules', 'num_layers'):
        assert narrow[key] == full[key]
    for key in ('stem_channels', 'conv_channels', 'out_channels'):
        assert tuple(8 * width for width in narrow[key]) == full[key]


def test_intervals():
    assert training.at_most(*training.difference([1, 1.1], [9, 9.1]), 0)
    assert training.at_most(*training.difference([9, 9.1], [1, 1.1]), 0) is (
        False
    )
    assert training.at_most(*training.difference([1, 9], [2, 8]), 0) is None
