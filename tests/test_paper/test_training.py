import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvovnet.checkpoint import is_whole
from mmvovnet.paper import training
from mmvovnet.paper.cifar import DATA, NETWORKS
from mmvovnet.paper.residual import CONFIGS

CONFIG = 'vovnet39-narrow_digits'


def test_a_training_is_done_once(tmp_path, capsys):
    run = training.train(CONFIG, 1, tmp_path, epochs=1, identity=False)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith(f'{CONFIG}_identity-False_1e_seed1_')
    assert '1e_seed1: error ' in capsys.readouterr().out
    assert 0 <= run.error <= 100
    assert len(run.losses) == 1
    assert is_whole(run.checkpoint)
    assert is_whole(run.initial)

    record = folder / 'result.json'
    record.write_text(json.dumps(dict(error=12.5, losses=[0.5])))
    again = training.train(CONFIG, 1, tmp_path, epochs=1, identity=False)
    assert (again.error, again.losses) == (12.5, [0.5])


def test_a_result_is_that_of_one_code_and_one_machine(monkeypatch, tmp_path):
    cfg = Config(dict(model=dict(type='A'), work_dir='here'))
    mine = training.fingerprint(cfg)
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
    for room in ('models', 'datasets', 'paper/networks'):
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
        path = training.config_folder() / f'{name}_{data}.py'
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

    path = training.config_folder() / f'{CONFIGS[arch]}.py'
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
