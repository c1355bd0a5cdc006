"""The models that are compared, by the rows of the table."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from mmvovnet.models import VoVNet
from mmvovnet.models.memory import recompute_forward
from mmvovnet.registry import MODELS

# Options of VoVNet that a row may set to True.
OPTIONS = ('memory_efficient', 'with_cp', 'norm_eval', 'bottleneck')
MODES = (
    *OPTIONS,
    'checkpoint',
    'compile',
    'channels_last',
    'fcos',
    'recompute',
)
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
            f'choose one of {[s for s in SOURCES if s]}, or none for VoVNet'
        )
    options = {m: True for m in modes if m in OPTIONS}
    known = MODES + INFERENCE_MODES
    unknown = [mode for mode in modes if mode not in known]
    is_config = not source and name.endswith('.py')
    if unknown or (options and source):
        raise ValueError(
            f'row {row!r} has modes that {source or "VoVNet"} does not have; '
            f'modes are {known}, the first {len(OPTIONS)} for VoVNet only'
        )
    build = ConfigModel if is_config else SOURCES[source]
    model: Any = build(name, **options)
    if 'checkpoint' in modes:
        model.set_grad_checkpointing()
    if 'fcos' in modes:
        model = FCOS(model)
    if 'recompute' in modes:
        recompute_forward(model)
    if 'compile' in modes:  # the head's losses depend on values
        parts = (model.backbone, model.neck) if 'fcos' in modes else (model,)
        for part in parts:
            part.compile()
    model.train()  # mmpretrain's returns nothing
    return model


class FCOS(nn.Module):
    """A backbone with the FPN and head of FCOS, of MMDetection's settings.

    Args:
        backbone (nn.Module): Its last three maps have strides 8 to 32.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        from mmengine.hub import get_config
        from mmengine.registry import DefaultScope

        register_all_modules(init_default_scope=False)
        model = get_config(
            'mmdet::fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-'
            'centeronreg-giou_1x_coco.py'
        ).model
        backbone.eval()
        with torch.no_grad():
            maps = backbone(torch.zeros(1, 3, 64, 64))[-3:]
        channels = [x.size(1) for x in maps]
        self.backbone = backbone
        neck = model.neck | dict(in_channels=channels, start_level=0)
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.neck = MODELS.build(neck)
            self.bbox_head = MODELS.build(model.bbox_head)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the losses in training, and else the head's maps.

        Losses need values, which fake tensors lack.

        Args:
            x (Tensor): Images, shape (N, 3, H, W).
        """
        maps = self.neck(self.backbone(x)[-3:])
        if not self.training or isinstance(x, FakeTensor):
            return [out for outs in self.bbox_head(maps) for out in outs]
        return list(self.bbox_head.loss(maps, _samples(x)).values())


class ConfigModel(nn.Module):
    """The model of a config, without losses and heads on boxes.

    Args:
        path (str): The config.
        **options: Of its backbone.
    """

    def __init__(self, path: str, **options) -> None:
        super().__init__()
        from mmengine.config import Config
        from mmengine.model import revert_sync_batchnorm
        from mmengine.registry import MODELS, DefaultScope

        cfg = Config.fromfile(path)
        cfg.model.backbone.update(options)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            self.model = revert_sync_batchnorm(MODELS.build(cfg.model))
        self.mono3d = cfg.default_scope == 'mmdet3d'

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the maps of all heads that take features alone.

        Args:
            x (Tensor): Images, shape (N, C, H, W).
        """
        model = self.model
        if hasattr(model, 'arm_head'):  # RefineDet's heads are a chain
            return list(_tensors(model(x, mode='tensor')))
        maps = model.extract_feat(dict(imgs=x) if self.mono3d else x)
        heads = [
            head
            for name, head in model.named_children()
            if name.endswith('head') and name != 'roi_head'
            if 'fusion' not in name
        ]
        return list(_tensors([head(maps) for head in heads] or maps))


def _tensors(outs: Any) -> Iterator[Tensor]:
    if isinstance(outs, Tensor):
        yield outs
    elif isinstance(outs, list | tuple):
        for out in outs:
            yield from _tensors(out)


def _samples(x: Tensor) -> list:
    """Five boxes in each image, from a tenth to half of its size."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    size = x.shape[2:]
    whole = x.new_tensor([size[1], size[0]] * 2)
    corners = torch.tensor([[i / 10, i / 10] for i in range(1, 6)])
    boxes = torch.cat([corners, corners * 1.9], dim=1).to(whole) * whole
    objects = InstanceData(
        bboxes=boxes, labels=torch.arange(5, device=x.device)
    )
    sample = DetDataSample(
        gt_instances=objects,
        metainfo=dict(img_shape=size, pad_shape=size, ori_shape=size),
    )
    return [sample] * len(x)
