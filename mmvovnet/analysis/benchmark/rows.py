"""The backbones that are compared, by the rows of the table."""

from collections.abc import Callable
from typing import Any

from torch import nn

from mmvovnet.models import VoVNet
from mmvovnet.models.memory import recompute_forward
from mmvovnet.registry import MODELS

from .detector import FCOS, ConfigModel

# Options of VoVNet that a row may set to True.
OPTIONS = ('memory_efficient', 'with_cp', 'norm_eval', 'bottleneck')
MODES = (*OPTIONS, 'checkpoint', 'compile', 'fcos', 'recompute')
INFERENCE_MODES = (
    'fuse',
    'accelerate',
    'freeze',
    'autotune',
    'onnx',
    'openvino',
    'int8',
    'bf16',
)
# A model in all forms for inference, of a CPU.
FORMS = (
    '',
    '+fuse',
    '+accelerate',
    '+fuse+autotune',
    '+onnx',
    '+openvino',
    '+bf16',
    '+fuse+bf16',
    '+fuse+autotune+bf16',
    '+openvino+bf16',
    '+onnx+int8',
    '+openvino+int8',
    '+openvino+int8+bf16',
)


def _mmpretrain(name: str) -> nn.Module:
    from mmpretrain.models import backbones

    kind, _, depth = name.partition('-')
    return getattr(backbones, kind)(**({'depth': int(depth)} if depth else {}))


def _timm(name: str) -> nn.Module:
    import timm

    return timm.create_model(name, features_only=True)


def _torchvision(name: str) -> nn.Module:
    import torchvision

    model = torchvision.models.get_model(name)
    return getattr(model, 'features', model)


def _registered(name: str) -> nn.Module:
    return MODELS.build(dict(type=f'mmvovnet.{name}'))


# Where models come from: a function of a name that builds the backbone.
SOURCES: dict[str, Callable[..., nn.Module]] = {
    '': VoVNet,
    'mmvovnet': _registered,
    'timm': _timm,
    'mmpretrain': _mmpretrain,
    'torchvision': _torchvision,
}

ROWS = (
    *VoVNet.arch_settings,
    'V-39+memory_efficient',
    'V-39+with_cp',
    'V-39+compile',
    'V-39-eSE+memory_efficient',
    'timm:vovnet39a',
    'timm:vovnet39a+checkpoint',
    'timm:vovnet57a',
    'timm:ese_vovnet19b_dw',
    'timm:ese_vovnet39b',
    'timm:ese_vovnet57b',
    'timm:ese_vovnet99b',
    'mmpretrain:ResNet-50',
    'mmpretrain:ResNet-101',
    'mmpretrain:MobileNetV2',
    'mmpretrain:ShuffleNetV2',
    'torchvision:densenet121',
    'torchvision:densenet161',
    'torchvision:densenet201',
)
QUICK_ROWS = (
    'V-39',
    'V-39+memory_efficient',
    'V-39+with_cp',
    'timm:vovnet39a',
    'timm:vovnet39a+checkpoint',
    'mmpretrain:ResNet-50',
    'torchvision:densenet121',
)


def build_row(row: str) -> nn.Module:
    """Build the model that a row names.

    Args:
        row (str): ``SOURCE:MODEL+MODE``, all but the model optional.

    Returns:
        nn.Module: The backbone, in training mode.

    Raises:
        ValueError: If the source or the mode is unknown.

    Example:
        >>> build_row('V-39+memory_efficient').memory_efficient
        True
    """
    name, *modes = row.split('+')
    source, _, name = name.rpartition(':')
    if source not in SOURCES:
        raise ValueError(
            f'unknown source {source!r} in row {row!r}; '
            f'choose one of {[s for s in SOURCES if s]}, or none for ours'
        )
    options = {m: True for m in modes if m in OPTIONS}
    known = MODES + INFERENCE_MODES
    unknown = [mode for mode in modes if mode not in known]
    is_config = not source and name.endswith('.py')
    if unknown or (options and source):
        raise ValueError(
            f'row {row!r} has modes that {source or "VoVNet"} does not have; '
            f'modes are {known}, the first {len(OPTIONS)} for ours only'
        )
    build = ConfigModel if is_config else SOURCES[source]
    model: Any = build(name, **options)
    if 'checkpoint' in modes:
        model.set_grad_checkpointing()
    if 'fcos' in modes:
        model = FCOS(model)
    if 'recompute' in modes:
        recompute_forward(model)
    if 'compile' in modes:
        model.compile()
    model.train()  # mmpretrain's returns nothing
    return model
