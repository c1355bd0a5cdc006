import pytest
import torch
from mmengine.runner import load_checkpoint
from torch import nn

import mmvovnet.engine  # noqa: F401
from mmvovnet import VoVNet
from mmvovnet.weights import CheckpointError
from mmvovnet.weights.fit import Fit, load_weights


def model():
    return nn.ModuleDict(
        dict(
            backbone=VoVNet('V-27-slim', out_indices=(3,)),
            head=nn.Linear(512, 2),
        )
    )


STATE = model().state_dict()


@pytest.fixture
def save(tmp_path):
    def save(state):
        path = tmp_path / 'weights.pth'
        torch.save(state, path)
        return path

    return save


def test_loads_all(save):
    fresh = model()
    load_weights(fresh, save(dict(state_dict=STATE)))
    torch.testing.assert_close(fresh.state_dict(), STATE)


HALF = {
    k: v for k, v in STATE.items() if not k.startswith('backbone.stages.3')
}
NO_HEAD = {k: v for k, v in STATE.items() if k.startswith('backbone')}
BROKEN = {
    'half': (HALF, 'missing are backbone.stages.* (30 names)'),
    'no head': (NO_HEAD, 'missing are head.bias, head.weight'),
    'another shape': (
        STATE | {'head.bias': torch.zeros(3)},
        'of another shape are head.bias (3,) (here (2,))',
    ),
    'unrelated': (dict(other=torch.zeros(1)), 'it holds 0 of'),
    'empty': ({}, 'holds no weights'),
    'a list': ([1, 2], 'holds no weights'),
    'empty state_dict': (dict(state_dict={}, meta={}), 'holds no weights'),
}


@pytest.mark.parametrize('state, said', BROKEN.values(), ids=BROKEN)
def test_refuses(save, state, said):
    with pytest.raises(CheckpointError) as error:
        load_weights(model(), save(state))
    assert said in str(error.value)


def test_parts_that_may_be_missing(save):
    load_weights(model(), save(NO_HEAD), may_miss=['head'])
    with pytest.raises(CheckpointError):
        load_weights(model(), save(NO_HEAD), may_miss=['neck'])


def test_init_cfg_with_an_empty_file(save):
    with pytest.raises(CheckpointError, match='holds no weights'):
        load_checkpoint(model(), str(save({})))


def test_another_shape_under_other_names(save):
    """As the runner loads into a part that is compiled."""
    wrapped = model()
    wrapped.head = nn.ModuleDict({'_orig_mod': wrapped.head})
    path = save(STATE | {'head.bias': torch.zeros(3)})
    fit = Fit(wrapped)
    with fit.recorded():
        names = [('^head.', 'head._orig_mod.')]
        load_checkpoint(wrapped, str(path), revise_keys=names)
    assert fit.wrong == {'head._orig_mod.bias': (3,)}
    assert fit.loaded == len(fit.shapes) - 1
