"""Whole models of CenterMask2 and Panoptic-CenterMask."""

import pytest
import torch
import torch.nn.functional as F

from mmvovnet import VoVNet
from mmvovnet.weights import convert
from mmvovnet.weights.adapter import target

from .peers import assert_close, authors_forward, authors_shapes, fill
from .test_heads import (
    WIDTHS,
    build,
    conv,
    detector_state,
    double,
    fcos_shapes,
    fpn,
    fpn_shapes,
    layer,
    load,
    small,
)

pytest.importorskip('mmdet')

FOLDER = 'centermask'
WHOLE = f'{FOLDER}/centermask_vovnet39-ese_fpn_ms-3x_coco.py'
PANOPTIC = f'{FOLDER}/panoptic-centermask_vovnet39-ese_fpn_ms-3x_coco.py'


def mask_shapes(convs=4, width=256, classes=80):
    """The heads on boxes of CenterMask2."""
    mask, iou = 'roi_heads.mask_head.', 'roi_heads.maskiou_head.'
    shapes = {
        mask + 'spatialAtt.conv.weight': (1, 2, 3, 3),
        mask + 'deconv.weight': (width, width, 2, 2),
        mask + 'deconv.bias': (width,),
    }
    for i in range(1, convs + 1):
        inputs = width + (i == 1)
        shapes |= layer(f'{mask}mask_fcn{i}', width, width, 3, 3)
        shapes |= layer(f'{iou}maskiou_fcn{i}', width, inputs, 3, 3)
    shapes |= layer(mask + 'predictor', classes, width, 1, 1)
    shapes |= layer(iou + 'maskiou_fc1', 1024, width * 7 * 7)
    shapes |= layer(iou + 'maskiou_fc2', 1024, 1024)
    return shapes | layer(iou + 'maskiou', classes, 1024)


def panoptic_shapes(stuff=53):
    """An FPN from stride 4, and detectron2's semantic head on it."""
    head = 'sem_seg_head.'
    shapes = fcos_shapes() | mask_shapes() | fpn_shapes(2, WIDTHS)
    for level, convs in ((2, 1), (3, 1), (4, 2), (5, 3)):
        for i in range(convs):
            name = f'{head}p{level}.{2 * i}'
            inputs = 128 if i else 256
            shapes[f'{name}.weight'] = (128, inputs, 3, 3)
            shapes |= layer(f'{name}.norm', 128)
    return shapes | layer(head + 'predictor', stuff + 1, 128, 1, 1)


@pytest.mark.parametrize('shapes', [mask_shapes, panoptic_shapes])
def test_every_name_there_and_back(shapes):
    _, state = detector_state(fcos_shapes() | shapes())
    back = convert(convert(state), to='detectron2')
    assert back.keys() == state.keys()
    assert all(back[name].equal(value) for name, value in state.items())


def test_centermask(tmp_path):
    _, state = detector_state(fcos_shapes() | mask_shapes())
    model = build(small(WHOLE))
    load(model, state, tmp_path)  # strict
    assert model.roi_head.mask_head.convs[3].conv.weight.equal(
        state['roi_heads.mask_head.mask_fcn4.weight'].double()
    )
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    results = model.float().test_step(
        dict(inputs=[image], data_samples=[sample(64, 64)])
    )
    assert results[0].pred_instances.masks.shape[1:] == (64, 64)


def sample(height, width):
    from mmdet.structures import DetDataSample

    shape = dict(img_shape=(height, width), ori_shape=(height, width))
    return DetDataSample(metainfo=dict(scale_factor=(1.0, 1.0), **shape))


@pytest.mark.parametrize(
    ('convs', 'width', 'classes'), [(1, 8, 1), (2, 16, 5), (6, 4, 365)]
)
def test_heads_alone_of_any_size(convs, width, classes):
    state = fill(mask_shapes(convs, width, classes))
    ours = target('detectron2', 'backbone.', state).to_ours(state)
    assert len(ours) == len(state)
    last = f'roi_head.mask_head.convs.{convs - 1}.conv.weight'
    name = f'roi_heads.mask_head.mask_fcn{convs}.weight'
    assert ours[last].equal(state[name])


def test_panoptic(tmp_path):
    backbone, state = detector_state(panoptic_shapes())
    model = build(small(PANOPTIC))
    load(model, state, tmp_path)  # strict

    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    given = model.data_preprocessor(dict(inputs=[image]))['inputs'].double()
    backbone, state = double(backbone), double(state)
    pyramid = fpn(state, authors_forward(backbone, given), 2)
    pyramid.append(conv(state, 'backbone.top_block.p6', pyramid[-1], 2))
    p7 = conv(state, 'backbone.top_block.p7', pyramid[-1].relu(), 2)
    pyramid.append(p7)
    with torch.no_grad():
        maps = model.extract_feat(given)
        assert_close(maps, pyramid, 1e-9)
        ours = model.semantic_head(maps)['seg_preds']
    theirs = semantic(state, pyramid)
    # detectron2 has the things first, mmdet last
    assert_close([ours], [theirs[:, [*range(1, 54), 0]]], 1e-9)


def semantic(state, pyramid):
    """detectron2's SemSegFPNHead at stride 4."""
    total = 0
    for level, x in zip((2, 3, 4, 5), pyramid, strict=False):
        for i in range(max(level - 2, 1)):
            name = f'sem_seg_head.p{level}.{2 * i}'
            x = F.conv2d(x, state[f'{name}.weight'], padding=1)
            parts = [state[f'{name}.norm.{p}'] for p in ('weight', 'bias')]
            x = F.group_norm(x, 32, *parts).relu()
            if level > 2:
                x = F.interpolate(x, scale_factor=2.0, mode='bilinear')
        total = total + x
    return conv(state, 'sem_seg_head.predictor', total)


def test_deformable_convs():
    arch = 'V-19-slim-eSE'
    shapes = authors_shapes(arch)
    offsets = {}
    for name, shape in shapes.items():
        unit, _, part = name.partition('/')
        if '.layers.' in unit and part == 'conv.weight' and unit > 'stage3':
            offsets |= layer(f'{unit}/conv_offset', 27, shape[1], 3, 3)
    assert len(offsets) == 2 * 3 * 3
    state = fill(shapes | offsets)
    model = VoVNet(arch, dcn=dict(type='DCNv2', deform_groups=1))
    model.load_state_dict(state)
    name = 'stage5.OSA5_1.layers.2.OSA5_1_2/conv_offset.bias'
    ours = model.stages[3].blocks[0].layers[2].conv.conv_offset.bias
    assert ours.equal(state[name])
    assert convert(model.state_dict(), to='detectron2').keys() == state.keys()
