"""Every detector of the zoo gives one answer in every form of a file."""

import re
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from mmvovnet.deploy.describe import describe_model
from mmvovnet.deploy.exporting import export
from mmvovnet.deploy.inference.detector import open_detector
from mmvovnet.deploy.publish import publish

from .small import ARCH, CONFIGS, settle

# Of each kind of detector, and of each way to resize and to pad.
ONE_STAGE = {
    'fcos': 'demo/fcos_vovnet27-slim_digits.py',
    'retinanet': 'demo/retinanet_vovnet27-slim_digits.py',
    'atss': 'atss/atss_vovnet39-ese_fpn_1x_coco.py',
    'rtmdet': 'rtmdet/rtmdet_vovnet39-ese_pafpn_8xb32-300e_coco.py',
    'ssd': 'demo/ssd_vovnet27-slim_digits.py',
    'refinedet': 'demo/refinedet_vovnet27-slim_digits.py',
    'centermask': 'demo/centermask_vovnet27-slim_digits.py',
}
FURTHER = {
    'faster-rcnn': 'faster_rcnn/faster-rcnn_vovnet39-ese_fpn_1x_coco.py',
    'mask-rcnn': 'demo/mask-rcnn_vovnet27-slim_digits.py',
}


def shrink(name):
    """A config with a small backbone, small images and ten classes."""
    from mmengine.config import Config

    cfg = Config.fromfile(CONFIGS / name)
    cfg.model.backbone.pop('init_cfg', None)
    neck = cfg.model.get('neck', {})
    if neck.get('type') not in ('SSDNeck', 'mmvovnet.TransferConnectionNeck'):
        cfg.model.backbone.arch = ARCH
        levels = cfg.model.backbone.get('out_indices', range(4))
        neck.in_channels = [ARCH['out_channels'][i] for i in levels]
    for step in cfg.test_dataloader.dataset.pipeline:
        for key in {'scale', 'size'} & set(step):
            step[key] = (128, 128)
        if 'scale' in step and name == ONE_STAGE['ssd']:
            step.keep_ratio = False
    return cfg


LAST = re.compile(r'\w+_cls|(arm|bbox)_head\.(score_convs|cls_convs)\.\d+')


def calm(module, args):
    """Bring a last conv's outputs near 1, at its first input."""
    module._forward_pre_hooks.clear()
    nn.init.normal_(
        module.weight,
        std=float(1 / (args[0].norm(dim=1).mean() * module.kernel_size[0])),
    )


def stir(model):
    """Give the scores of classes a spread, so that something is found."""
    settle(model)
    for name, module in model.named_modules():
        kernel = isinstance(module, nn.Conv2d)
        if kernel and LAST.search(name):
            module.register_forward_pre_hook(calm)
    if hasattr(model, 'bbox_head'):
        with torch.no_grad():
            model(torch.rand(1, 3, 128, 128), mode='tensor')
    return model


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """By name: the config, the checkpoint and the published file."""
    pytest.importorskip('mmdet', exc_type=ImportError)
    from mmvovnet.apis import build_model

    folder = tmp_path_factory.mktemp('zoo')

    @cache
    def make(name):
        path = folder / f'{name}.py'
        shrink({**ONE_STAGE, **FURTHER}[name]).dump(path)
        model = stir(build_model(path))
        checkpoint = folder / f'{name}.pth'
        torch.save(dict(state_dict=model.state_dict()), checkpoint)
        published = publish(path, checkpoint, folder / f'{name}-published')
        return str(path), str(checkpoint), str(published), model

    return make


IMAGE = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
IMAGE = IMAGE.repeat(2, 0).repeat(2, 1)  # not square; no padding after Resize


@pytest.mark.slow
@pytest.mark.parametrize('name', [*ONE_STAGE])
def test_one_answer(name, made, tmp_path):
    pytest.importorskip('onnxruntime')
    config, checkpoint, published, model = made(name)
    path = tmp_path / 'model.onnx'
    export(model, path, metadata=describe_model(model))
    answers = []
    for args in ((config, checkpoint), (str(published),), (str(path),)):
        detect, classes, kind = open_detector(*args)
        assert (len(classes), kind) == (model.bbox_head.num_classes, 'color')
        answers += detect([IMAGE])
    assert len(answers[0][0]) > 3
    for answer in answers[1:]:
        for part, expected in zip(answer, answers[0], strict=True):
            torch.testing.assert_close(part, expected, rtol=1e-3, atol=0.02)


FRESH = """
import sys
import numpy as np
from mmvovnet.deploy.inference.detector import open_detector
for path in sys.argv[1:]:
    detect, classes, kind = open_detector(path)
    detect([np.zeros((64, 96, 3), np.uint8)])
"""


@pytest.mark.slow
def test_published_files_open_in_a_fresh_process(made):
    """Nothing that this process has imported is needed."""
    names = [*ONE_STAGE, *FURTHER]
    files = [made(name)[2] for name in names]
    for one in (files[::-1], files[-1:]):  # each kind may come first
        subprocess.run([sys.executable, '-c', FRESH, *one], check=True)


@pytest.mark.slow
def test_two_stages_are_refused(made, tmp_path):
    model = made('faster-rcnn')[3]
    for outputs in ('raw', None):
        with pytest.raises(ValueError, match='FasterRCNN cannot be exported'):
            export(model, tmp_path / 'a.onnx', outputs=outputs)
