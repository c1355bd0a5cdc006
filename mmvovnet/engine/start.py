"""What a training starts from: weights, or nothing frozen."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvovnet.models import VoVNet
from mmvovnet.tasks import dicts
from mmvovnet.weights import CheckpointError, default_weights

FROM_SCRATCH = (
    'To train from random weights instead, with nothing frozen, add '
    '--cfg-options from_scratch=True'
)


def backbones(cfg: Any) -> Iterator[dict]:
    """Every config of a VoVNet in a model's config, however deep."""
    for _, node in dicts(cfg):
        if node.get('type') in ('VoVNet', 'mmvovnet.VoVNet', VoVNet):
            yield node


def cannot_start(missed: CheckpointError) -> SystemExit:
    """One line instead of a traceback, where weights are not available."""
    reason = str(missed).rstrip('.')
    return SystemExit(f'This training cannot start: {reason}. {FROM_SCRATCH}.')


def thaw(cfg: dict) -> None:
    """Have every VoVNet of a model start from random weights, unfrozen.

    Args:
        cfg (dict): The config of a model, changed in place.

    Example:
        >>> cfg = dict(backbone=dict(type='VoVNet', frozen_stages=1))
        >>> thaw(cfg)
        >>> cfg['backbone']['frozen_stages'], cfg['backbone']['init_cfg']
        (-1, None)
    """
    for backbone in backbones(cfg):
        backbone.update(init_cfg=None, frozen_stages=-1, norm_eval=False)
        if backbone.get('norm_cfg'):
            backbone['norm_cfg'] = dict(
                backbone['norm_cfg'], requires_grad=True
            )


def check_frozen(model: nn.Module) -> None:
    """Refuse to freeze what is random.

    Args:
        model (nn.Module): Before its first step, when what there is to load
            was loaded.

    Raises:
        ValueError: If parts of a VoVNet that got no weights are frozen.
    """
    for name, module in model.named_modules():
        if not isinstance(module, VoVNet) or module.has_weights:
            continue
        frozen = []
        if module.frozen_stages >= 0:
            frozen.append(f'frozen_stages={module.frozen_stages}')
        norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
        if norms and module.norm_eval:
            frozen.append('norm_eval=True')
        unfrozen = [m for m in module.stages[max(module.frozen_stages, 0) :]]
        if any(
            not parameter.requires_grad
            for stage in unfrozen
            for parameter in stage.parameters()
        ):
            frozen.append('requires_grad=False')
        if not frozen:
            continue
        arch = next(
            (k for k, v in VoVNet.arch_settings.items() if v == module.arch),
            '',
        )
        weights = default_weights(arch)
        remedy = (
            f'start from weights, {weights.init_cfg} with the pixels of '
            f'docs/checkpoints.md, or take {" and ".join(frozen)} away'
            if weights
            else f'take {" and ".join(frozen)} away'
        )
        raise ValueError(
            f"'{name}' is a VoVNet with random weights, and "
            f'{", ".join(frozen)} would keep them so: {remedy}. '
            f'{FROM_SCRATCH}; freeze_random=True in the config trains '
            'anyway'
        )
