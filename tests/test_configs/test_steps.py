"""Every config makes a step of training and one of inference."""

import re

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS

from mmvovnet.models.archs import ARCHS
from mmvovnet.swap import toy

from .files import CONFIGS, input_size, load, name

# In CI one config steps for each head, backbone and option; those named here
# are larger or longer trained versions of others.
LARGE = re.compile(
    r'vovnet(57|93|99)|ms-3x|_2x|300e|rtmdet|panoptic|slim-ese|cityscapes|'
    r'bccd|retinanet_vovnet39-ese|'
    r'lite_vovnet(39|19-ese)|'
    r'fcos_vovnet39_fpn_(gate|no|paper|layers|syncbn|fsdp)|'
    r'refinedet512|refinedet320_(vovnet39|r50|r101)'
)


def steps():
    """Every config, the large ones marked as slow."""
    return [
        pytest.param(
            path,
            id=name(path),
            marks=[pytest.mark.slow] if LARGE.search(path.stem) else [],
        )
        for path in CONFIGS
    ]


def thin(backbone):
    """Leave each stage one module of one layer, and what a neck sees."""
    if 'VoVNet' in backbone.type:
        arch = backbone.arch
        arch = dict(ARCHS[arch] if isinstance(arch, str) else arch)
        backbone.arch = arch | dict(num_modules=(1,) * 4, num_layers=1)
        backbone.init_cfg = None


def few(node):
    """Let a head look at no more boxes than these images need."""
    most = dict(num=32, nms_pre=50, max_per_img=50)
    for key, inner in node.items() if isinstance(node, dict) else ():
        if key in most and isinstance(inner, int) and inner > 0:
            node[key] = min(inner, most[key])
        few(inner)


def batch(cfg):
    """Two small random images with labels of the right kind."""
    size = input_size(cfg)
    return toy.batch(
        cfg, (cfg.model.backbone.get('in_channels', 3), size, size)
    )


@pytest.mark.parametrize('path', steps())
def test_one_step_and_inference(path, scope):
    cfg = load(path)
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind != 'OptimWrapper' and not torch.cuda.is_available():
        pytest.skip(f'{kind} needs a CUDA device')
    scope(cfg.default_scope)
    torch.manual_seed(0)
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if cfg.default_scope == 'mmseg':  # it pads to the size of its crops
        cfg.model.data_preprocessor.size = (64, 64)
    thin(cfg.model.backbone)
    few(cfg.model.get('train_cfg'))
    few(cfg.model.get('test_cfg'))
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    weight = [p for p in model.backbone.parameters() if p.dim() > 1][-1]
    before = weight.detach().clone()

    logs = model.train().train_step(batch(cfg), optimizer)
    assert torch.isfinite(logs['loss'])
    assert not weight.equal(before)

    with torch.no_grad():
        results = model.eval().test_step(batch(cfg))
    assert len(results) == 2
    for result in results:
        if cfg.default_scope == 'mmpretrain':
            assert torch.isclose(result.pred_score.sum(), torch.ones(()))
        elif 'semantic_head' in cfg.model:
            assert result.pred_panoptic_seg.sem_seg.shape[-2:] == (64, 64)
        elif cfg.default_scope == 'mmseg':
            assert result.pred_sem_seg.data.shape == (1, 64, 64)
            assert torch.isfinite(result.seg_logits.data).all()
        elif cfg.default_scope == 'mmdet3d':
            boxes = result.pred_instances_3d.bboxes_3d
            assert torch.isfinite(boxes.tensor).all()
        else:
            assert torch.isfinite(result.pred_instances.bboxes).all()
