"""Whole models: classifiers in mmpretrain, detectors in mmdet."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint

import mmvovnet.engine  # noqa: F401, load_checkpoint
from mmvovnet import VoVNet  # noqa: F401, registers
from mmvovnet.weights import convert

from .peers import (
    assert_close,
    authors_forward,
    authors_shapes,
    fill,
    load_recorded,
)

CONFIGS = Path(__file__).parents[2] / 'configs'
ARCH, WIDTHS = 'V-19-slim-dw-eSE', (112, 256, 384, 512)
MEAN = torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1)  # BGR


def layer(name, *shape):
    return {f'{name}.weight': shape, f'{name}.bias': shape[:1]}


def fpn_shapes(first, widths):
    shapes = {}
    for level, width in enumerate(widths, start=first):
        shapes |= layer(f'backbone.fpn_lateral{level}', 256, width, 1, 1)
        shapes |= layer(f'backbone.fpn_output{level}', 256, 256, 3, 3)
    return shapes


def rcnn_shapes():
    """The heads of detectron2's Mask R-CNN with FPN."""
    rpn, roi = 'proposal_generator.rpn_head.', 'roi_heads.'
    shapes = fpn_shapes(2, WIDTHS)
    shapes |= layer(rpn + 'conv', 256, 256, 3, 3)
    shapes |= layer(rpn + 'objectness_logits', 3, 256, 1, 1)
    shapes |= layer(rpn + 'anchor_deltas', 12, 256, 1, 1)
    shapes |= layer(roi + 'box_head.fc1', 1024, 256 * 7 * 7)
    shapes |= layer(roi + 'box_head.fc2', 1024, 1024)
    shapes |= layer(roi + 'box_predictor.cls_score', 81, 1024)
    shapes |= layer(roi + 'box_predictor.bbox_pred', 320, 1024)
    for i in range(1, 5):
        shapes |= layer(roi + f'mask_head.mask_fcn{i}', 256, 256, 3, 3)
    shapes[roi + 'mask_head.deconv.weight'] = (256, 256, 2, 2)
    shapes[roi + 'mask_head.deconv.bias'] = (256,)
    return shapes | layer(roi + 'mask_head.predictor', 80, 256, 1, 1)


def fcos_shapes():
    """The heads of AdelaiDet's FCOS."""
    head = 'proposal_generator.fcos_head.'
    shapes = fpn_shapes(3, WIDTHS[1:])
    for level in (6, 7):
        shapes |= layer(f'backbone.top_block.p{level}', 256, 256, 3, 3)
    for tower in ('cls_tower', 'bbox_tower'):
        for i in range(4):
            shapes |= layer(f'{head}{tower}.{3 * i}', 256, 256, 3, 3)
            shapes |= layer(f'{head}{tower}.{3 * i + 1}', 256)
    shapes |= layer(head + 'cls_logits', 80, 256, 3, 3)
    shapes |= layer(head + 'bbox_pred', 4, 256, 3, 3)
    shapes |= layer(head + 'ctrness', 1, 256, 3, 3)
    return shapes | {f'{head}scales.{i}.scale': (1,) for i in range(5)}


def detector_state(heads):
    backbone = fill(authors_shapes(ARCH, tracked=False))
    state = {f'backbone.bottom_up.{k}': v for k, v in backbone.items()}
    return backbone, state | fill(heads)


def small(config):
    """A config, with the smallest backbone."""
    config = Config.fromfile(CONFIGS / config)
    config.model.backbone.arch = ARCH
    neck = config.model.neck
    neck.in_channels = list(WIDTHS[-len(neck.in_channels) :])
    return config


def as_theirs(config):
    """The config with the network and the pixels of detectron2's files."""
    config.model.backbone.update(
        gate_place='every',
        stem_strides=(2, 1, 2),
        pool_padding=0,
        identity=True,
        init_cfg=None,
    )
    config.model.data_preprocessor.update(
        mean=MEAN.flatten().tolist(), std=[1.0] * 3, bgr_to_rgb=False
    )
    return config


def build(config):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(config.model).eval()


def load(model, state, tmp_path):
    """By file, as every tool of OpenMMLab; nothing may be missing."""
    path = tmp_path / 'model.pth'
    torch.save({'model': state, 'iteration': 1}, path)
    load_checkpoint(model, str(path), strict=True)
    model.double()  # so that the comparison is not one of rounding errors


def double(state):
    return {name: value.double() for name, value in state.items()}


def conv(state, name, x, stride=1):
    weight = state[f'{name}.weight']
    padding = weight.size(-1) // 2
    return F.conv2d(x, weight, state[f'{name}.bias'], stride, padding)


def fpn(state, features, first):
    laterals = [
        conv(state, f'backbone.fpn_lateral{level}', x)
        for level, x in enumerate(features, start=first)
    ]
    for i in range(len(laterals) - 1, 0, -1):
        laterals[i - 1] += F.interpolate(laterals[i], scale_factor=2.0)
    return [
        conv(state, f'backbone.fpn_output{level}', x)
        for level, x in enumerate(laterals, start=first)
    ]


def anchors(height, width, stride, size):
    """detectron2's, of aspect ratios (height to width) 0.5, 1 and 2."""
    y, x = torch.meshgrid(
        torch.arange(height) * stride,
        torch.arange(width) * stride,
        indexing='ij',
    )
    boxes = []
    for ratio in (0.5, 1.0, 2.0):
        w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        boxes.append(torch.stack(box, -1))
    return torch.stack(boxes, 2).reshape(-1, 4)


def decode(boxes, deltas, weights):
    """detectron2's Box2BoxTransform."""
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + 0.5 * size
    deltas = deltas / torch.tensor(weights, dtype=deltas.dtype)
    centre = centre + deltas[:, :2] * size
    half = 0.5 * size * deltas[:, 2:].clamp(max=math.log(1000 / 16)).exp()
    return torch.cat([centre - half, centre + half], 1)


# mmpretrain


def test_recorded_logits(tmp_path):
    pytest.importorskip('mmpretrain')
    state, image, outputs = load_recorded('seed_vovnet27_slim')
    path = tmp_path / 'classifier.pth'
    torch.save(state, path)
    model = classifier('V-27-slim', 512)
    load_checkpoint(model, str(path), strict=True)
    with torch.no_grad():
        assert_close([model(image)], [outputs['logits']], 1e-5)


@pytest.mark.parametrize(
    ('name', 'options', 'width'),
    [
        pytest.param(
            'vovnet39a',
            dict(arch='V-39', identity=False),
            1024,
            marks=pytest.mark.slow,
        ),
        ('ese_vovnet19b_dw', dict(arch='V-19-dw-eSE'), 1024),
        pytest.param(
            'ese_vovnet39b',
            dict(arch='V-39-eSE', gate_place='last'),
            1024,
            marks=pytest.mark.slow,
        ),
        ('ese_vovnet19b_slim', dict(arch='V-19-slim-eSE'), 512),
    ],
)
def test_timm_logits(name, options, width, tmp_path):
    pytest.importorskip('mmpretrain')
    timm = pytest.importorskip('timm')
    safetensors = pytest.importorskip('safetensors.torch')
    with torch.device('meta'):
        peer = timm.create_model(name)
    state = fill({k: tuple(v.shape) for k, v in peer.state_dict().items()})
    peer.load_state_dict(state, assign=True)
    path = tmp_path / 'model.safetensors'
    safetensors.save_file(state, path)
    model = classifier(width=width, **options)
    load_checkpoint(model, str(path), strict=True)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert_close([model(image)], [peer.eval()(image)], 1e-5)


def classifier(arch, width, **options):
    config = dict(
        type='ImageClassifier',
        backbone=dict(type='VoVNet', arch=arch, out_indices=(3,), **options),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=width),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(config).eval()


# mmdet


def test_rcnn(tmp_path):
    """Mask R-CNN, which has all parts of Faster R-CNN."""
    pytest.importorskip('mmdet')
    backbone, state = detector_state(rcnn_shapes())
    config = small('mask_rcnn/mask-rcnn_vovnet39-ese_fpn_1x_coco.py')
    model = build(as_theirs(config))
    load(model, state, tmp_path)
    assert convert(convert(state), to='detectron2').keys() == state.keys()

    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)  # BGR
    data = model.data_preprocessor(dict(inputs=[image]))
    given = (image - MEAN)[None]
    assert torch.equal(data['inputs'], given)

    backbone, state, given = double(backbone), double(state), given.double()
    pyramid = fpn(state, authors_forward(backbone, given), 2)
    pyramid.append(F.max_pool2d(pyramid[-1], 1, 2))
    with torch.no_grad():
        features = model.extract_feat(given)
        assert_close(features, pyramid, 1e-9)

        rpn = 'proposal_generator.rpn_head.'
        hidden = [conv(state, rpn + 'conv', x).relu() for x in pyramid]
        logits, deltas = model.rpn_head(features)
        expected = [conv(state, rpn + 'objectness_logits', x) for x in hidden]
        assert_close(logits, expected, 1e-9)
        theirs = [conv(state, rpn + 'anchor_deltas', x) for x in hidden]
        assert_close(deltas, theirs, 1e-9)

        grids = model.rpn_head.prior_generator.grid_priors(
            [x.shape[2:] for x in pyramid], device='cpu'
        )
        for i, (x, grid) in enumerate(zip(theirs, grids, strict=True)):
            boxes = anchors(*x.shape[2:], 4 * 2**i, 32 * 2**i)
            torch.testing.assert_close(grid, boxes)
            # (1, 12, H, W) -> (H * W * 3, 4): anchor by anchor
            x = x.view(3, 4, *x.shape[2:]).permute(2, 3, 0, 1).reshape(-1, 4)
            x = x / x.abs().max()  # a size that trained networks give
            ours = model.rpn_head.bbox_coder.decode(grid.double(), x)
            assert_close([ours], [decode(boxes, x, [1.0] * 4)], 1e-6)
            rpn_scores = logits[i][0].permute(1, 2, 0).flatten()
            assert len(rpn_scores) == len(boxes)
    check_roi_heads(model.roi_head, state, features)


def check_roi_heads(roi_head, state, features):
    torchvision = pytest.importorskip('torchvision')
    boxes = [[3.0, 5, 40, 30], [10, 2, 90, 60], [0, 0, 8, 9]]
    boxes = torch.tensor(boxes, dtype=torch.float64)
    rois = F.pad(boxes, (1, 0))

    def pool(size):  # all of these boxes belong to level 2, of stride 4
        return torchvision.ops.roi_align(
            features[0], rois, size, 1 / 4, sampling_ratio=0, aligned=True
        )

    def linear(name, x):
        weight = state[f'roi_heads.{name}.weight']
        return F.linear(x, weight, state[f'roi_heads.{name}.bias'])

    with torch.no_grad():
        x = linear('box_head.fc1', pool(7).flatten(1)).relu()
        x = linear('box_head.fc2', x).relu()
        scores = linear('box_predictor.cls_score', x)
        deltas = linear('box_predictor.bbox_pred', x)
        ours = roi_head._bbox_forward(features, rois)
        assert_close(
            [ours['cls_score'], ours['bbox_pred']], [scores, deltas], 1e-9
        )
        # Background is the last column of both.
        assert roi_head.bbox_head.num_classes == 80 == scores.size(1) - 1
        coder = roi_head.bbox_head.bbox_coder
        deltas = deltas / deltas.abs().max()
        torch.testing.assert_close(
            coder.decode(boxes, deltas[:, 8:12]),  # of the third class
            decode(boxes, deltas[:, 8:12], [10.0, 10.0, 5.0, 5.0]),
        )
        x = pool(14)
        for i in range(1, 5):
            x = conv(state, f'roi_heads.mask_head.mask_fcn{i}', x).relu()
        deconv = 'roi_heads.mask_head.deconv'
        weight, bias = state[f'{deconv}.weight'], state[f'{deconv}.bias']
        x = F.conv_transpose2d(x, weight, bias, 2).relu()
        masks = conv(state, 'roi_heads.mask_head.predictor', x)
        ours = roi_head._mask_forward(features, rois)['mask_preds']
        assert_close([ours], [masks], 1e-9)


def test_fcos(tmp_path):
    pytest.importorskip('mmdet')
    backbone, state = detector_state(fcos_shapes())
    config = small('fcos/fcos_vovnet39-ese_fpn_1x_coco.py')
    model = build(as_theirs(config))
    load(model, state, tmp_path)
    assert convert(convert(state), to='detectron2').keys() == state.keys()

    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=[image]))
    given = (image - MEAN)[None]
    assert torch.equal(data['inputs'], given)

    backbone, state, given = double(backbone), double(state), given.double()
    pyramid = fpn(state, authors_forward(backbone, given)[1:], 3)
    pyramid.append(conv(state, 'backbone.top_block.p6', pyramid[-1], 2))
    p6 = pyramid[-1].relu()
    pyramid.append(conv(state, 'backbone.top_block.p7', p6, 2))

    head = 'proposal_generator.fcos_head.'

    def tower(name, x):
        for i in range(4):
            norm = f'{head}{name}.{3 * i + 1}'
            x = conv(state, f'{head}{name}.{3 * i}', x)
            parts = state[f'{norm}.weight'], state[f'{norm}.bias']
            x = F.group_norm(x, 32, *parts).relu()
        return x

    with torch.no_grad():
        features = model.extract_feat(given)
        assert_close(features, pyramid, 1e-9)
        scores, boxes, centerness = model.bbox_head(features)
        for i, x in enumerate(pyramid):
            expected = conv(state, head + 'cls_logits', tower('cls_tower', x))
            assert_close([scores[i]], [expected], 1e-9)
            x = tower('bbox_tower', x)
            expected = conv(state, head + 'ctrness', x)
            assert_close([centerness[i]], [expected], 1e-9)
            scale = state[f'{head}scales.{i}.scale']
            distances = (conv(state, head + 'bbox_pred', x) * scale).relu()
            assert_close([boxes[i]], [distances * 8 * 2**i], 1e-6)
        points = model.bbox_head.prior_generator.grid_priors(
            [x.shape[2:] for x in pyramid], device='cpu'
        )
        # AdelaiDet's locations: half a stride into each cell
        assert points[1][:2].tolist() == [[8.0, 8.0], [24.0, 8.0]]


def test_fcos_exports_its_scales():
    pytest.importorskip('mmdet')
    model = build(small('fcos/fcos_vovnet39-ese_fpn_1x_coco.py'))
    _, expected = detector_state(fcos_shapes())
    state = convert(model.state_dict(), to='detectron2')
    counters = {k for k in state if k.endswith('num_batches_tracked')}
    assert state.keys() - counters == expected.keys()
    for name, value in expected.items():
        assert state[name].shape == value.shape, name


def test_init_detector(tmp_path):
    apis = pytest.importorskip('mmdet.apis')
    _, state = detector_state(fcos_shapes())
    path = tmp_path / 'fcos.pth'
    torch.save({'model': state}, path)
    config = small('fcos/fcos_vovnet39-ese_fpn_1x_coco.py')
    model = apis.init_detector(config, str(path), device='cpu')
    name = 'proposal_generator.fcos_head.cls_logits.weight'
    assert torch.equal(model.bbox_head.conv_cls.weight, state[name])
