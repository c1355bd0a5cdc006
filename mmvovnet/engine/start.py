"""What a training starts from: weights, or nothing frozen."""

from collections.abc import Mapping
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


def cannot_start(missed: CheckpointError) -> SystemExit:
    """One line instead of a traceback, where weights are not available."""
    reason = str(missed).rstrip('.')
    return SystemExit(f'This training cannot start: {reason}. {FROM_SCRATCH}.')


def thaw(model: Any, cfg: Mapping | None) -> None:
    """Let each VoVNet of a config start random and unfrozen, if asked to.

    Args:
        model (Any): The config of a model, changed in place.
        cfg (Mapping | None): A runner's; ``from_scratch=True`` asks for it.

    Example:
        >>> model = dict(backbone=dict(type='VoVNet', frozen_stages=1))
        >>> thaw(model, dict(from_scratch=True))
        >>> model['backbone']['frozen_stages'], model['backbone']['init_cfg']
        (-1, None)
    """
    if not cfg or cfg.get('from_scratch') is not True:
        return
    for _, node in dicts(model):
        if node.get('type') in ('VoVNet', 'mmvovnet.VoVNet', VoVNet):
            node.update(init_cfg=None, frozen_stages=-1, norm_eval=False)
            if node.get('norm_cfg'):
                node['norm_cfg'] = dict(node['norm_cfg'], requires_grad=True)


def check_frozen(model: nn.Module) -> None:
    """Refuse to freeze what is random.

    Raises:
        ValueError: Parts of a VoVNet that got no weights are frozen.
    """
    for name, module in model.named_modules():
        if not isinstance(module, VoVNet) or module.has_weights:
            continue
        stages = module.frozen_stages
        norms = any(isinstance(m, _BatchNorm) for m in module.modules())
        trained = module.stages[max(stages, 0) :].parameters()
        asked = {
            f'frozen_stages={stages}': stages >= 0,
            'norm_eval=True': module.norm_eval and norms,
            'requires_grad=False': not all(p.requires_grad for p in trained),
        }
        frozen = [option for option, is_set in asked.items() if is_set]
        if not frozen:
            continue
        settings = VoVNet.arch_settings.items()
        arch = next((key for key, arch in settings if arch == module.arch), '')
        remedy = f'take {" and ".join(frozen)} away'
        if weights := default_weights(arch):
            remedy = (
                "start from weights, init_cfg=dict(type='Pretrained', "
                f"checkpoint='vovnet://{weights.name}') with the pixels of "
                f'docs/checkpoints.md, or {remedy}'
            )
        raise ValueError(
            f"'{name}' is a VoVNet with random weights, and "
            f'{", ".join(frozen)} would keep them so: {remedy}. '
            f'{FROM_SCRATCH}; freeze_random=True in the config trains anyway'
        )
