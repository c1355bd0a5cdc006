from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest
import torch
from mmengine.registry import RUNNERS

from mmvovnet.engine import FiniteLossHook

from . import toy

RUNNER = Mock(iter=6, epoch=1)
RUNNER.optim_wrapper.get_lr.return_value = dict(lr=[0.5])


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_names_iteration_loss_images_and_rate(value):
    outputs = dict(loss_cls=torch.tensor(1.0), loss_bbox=torch.tensor(value))
    samples = [SimpleNamespace(img_path=f'{i}.png') for i in range(2)]
    with pytest.raises(FloatingPointError) as error:
        FiniteLossHook().after_train_iter(
            RUNNER, 0, dict(data_samples=samples), outputs
        )
    for word in (
        f'iteration 7 (epoch 2): loss_bbox is {value}',
        '0.png, 1.png',
        'learning rate 0.5',
    ):
        assert word in str(error.value)
    assert 'loss_cls' not in str(error.value)


def test_lets_what_is_finite_pass():
    hook = FiniteLossHook()
    hook.after_train_iter(RUNNER, 0, None, dict(loss=torch.tensor(1.0)))
    hook.after_train_iter(RUNNER, 0, None, None)
    weights = dict(weight=torch.ones(2), count=torch.tensor(3))
    hook.before_save_checkpoint(RUNNER, dict(state_dict=weights))


def test_waits_once_for_all_losses():
    losses = {f'loss_{i}': torch.rand(2) for i in range(5)}
    with patch.object(torch.Tensor, '__bool__', return_value=True) as wait:
        FiniteLossHook().after_train_iter(RUNNER, 0, None, losses)
    wait.assert_called_once()


def test_broken_weights_are_not_saved():
    weights = dict(good=torch.ones(2), bad=torch.tensor([1, float('nan')]))
    with pytest.raises(FloatingPointError, match="the first is 'bad'"):
        FiniteLossHook().before_save_checkpoint(
            RUNNER, dict(state_dict=weights)
        )


@pytest.mark.parametrize('rate', [float('inf'), 1e30])
def test_training_stops_and_keeps_the_last_checkpoint(tmp_path, rate):
    cfg = toy.config(tmp_path)
    cfg |= dict(experiment_name=tmp_path.name, check_data=False)
    cfg['optim_wrapper']['optimizer']['lr'] = rate
    with pytest.raises(FloatingPointError):
        RUNNERS.build(cfg).train()
    assert not list(tmp_path.glob('*.pth'))
