import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from benchmark.allocations import saved_bytes
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmvovnet.registry import HOOKS

from ..test_models.test_memory.test_recompute import TINY

mmdet = pytest.importorskip('mmdet', reason='mmdet is not installed')

CONFIGS = Path(__file__).parents[2] / 'configs'
# The configs, and the share of the bytes that is kept at most: RetinaNet's
# head has no norms, and works in place already.
DETECTORS = {
    'fcos': ('fcos/fcos_vovnet39_fpn_1x_coco.py', 0.8),
    'retinanet': ('retinanet/retinanet_vovnet39_fpn_1x_coco.py', 1),
}


class Losses(nn.Module):
    """A detector that maps images to its losses, two boxes in each image."""

    def __init__(self, name):
        super().__init__()
        from mmdet.registry import MODELS

        cfg = Config.fromfile(CONFIGS / DETECTORS[name][0]).model
        cfg.backbone.update(arch=TINY, init_cfg=None)
        cfg.neck.update(in_channels=[16, 16, 16], out_channels=32)
        cfg.bbox_head.update(in_channels=32, feat_channels=32, num_classes=3)
        init_default_scope('mmdet')
        torch.manual_seed(0)
        self.detector = MODELS.build(cfg)

    def forward(self, x):
        from mmdet.structures import DetDataSample
        from mmengine.structures import InstanceData

        boxes = torch.tensor([[5.0, 5, 40, 30], [20, 10, 60, 60]])
        sample = DetDataSample(
            gt_instances=InstanceData(bboxes=boxes, labels=torch.arange(2)),
            metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64)),
        )
        losses = self.detector(x, [sample] * len(x), mode='loss')
        losses, _ = self.detector.parse_losses(losses)
        return losses


def _hooked(model):
    model = copy.deepcopy(model)
    hook = HOOKS.build(dict(type='mmvovnet.MemoryEfficientHook'))
    hook.before_train(SimpleNamespace(model=model.detector))
    return model


@pytest.mark.parametrize('options', [{}, dict(memory_efficient=True)])
@pytest.mark.parametrize('name', DETECTORS)
def test_losses_and_gradients_are_the_same(name, options):
    plain = Losses(name)
    saving = _hooked(plain)
    for module in saving.modules():
        for option, value in options.items():
            if hasattr(module, option):
                setattr(module, option, value)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        losses = [plain(x), saving(x)]
        for loss in losses:
            loss.backward()
        assert torch.equal(*losses)
    for ours, theirs in zip(
        saving.parameters(), plain.parameters(), strict=True
    ):
        assert ours.grad is not None
        assert torch.equal(ours.grad, theirs.grad)
    share = saved_bytes(saving, x) / saved_bytes(plain, x)
    assert share < DETECTORS[name][1]
    # A copy, as of weights averaged over time, saves as well.
    twin = copy.deepcopy(saving)
    assert saved_bytes(twin, x) == saved_bytes(saving, x)


def test_the_hook_sets_the_option_of_the_backbone():
    model = _hooked(Losses('fcos'))
    backbone = model.detector.backbone
    blocks = [block for stage in backbone.stages for block in stage.blocks]
    assert all(m.memory_efficient for m in (backbone, *blocks))


def test_finds_the_model_in_its_wrapper():
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    from mmengine.registry import MODEL_WRAPPERS

    MODEL_WRAPPERS.register_module(module=Wrapper, force=True)
    net = nn.Sequential(nn.Conv2d(64, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    plain = saved_bytes(net, torch.rand(2, 64, 8, 8))
    hook = HOOKS.build(dict(type='mmvovnet.MemoryEfficientHook'))
    hook.before_train(SimpleNamespace(model=Wrapper(net)))
    assert saved_bytes(net, torch.rand(2, 64, 8, 8)) < plain
    MODEL_WRAPPERS._module_dict.pop('Wrapper')
