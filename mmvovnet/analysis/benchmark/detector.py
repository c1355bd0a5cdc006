"""A backbone as part of a detector, to be measured in training."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor


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
