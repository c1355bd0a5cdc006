"""The heads against recordings of the authors' code, and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads import MaskIoUHead

from mmvovnet.models.centermask import (
    AdaptiveRoIExtractor,
    SpatialAttentionMaskHead,
)
from mmvovnet.weights.adapter import target
from tests.data.fill import values
from tests.test_weights.peers import fill

RECORDED = Path(__file__).parents[2] / 'data' / 'centermask2-lite_heads'
MASK, IOU = 'roi_head.mask_head.', 'roi_head.mask_iou_head.'


def recorded():
    """Weights in the authors' names, and the outputs that they gave."""
    shapes = json.loads(RECORDED.with_suffix('.keys.json').read_text())
    state = {k: torch.as_tensor(values(k, s)) for k, s in shapes.items()}
    with np.load(RECORDED.with_suffix('.npz')) as outputs:
        return state, {k: torch.as_tensor(v) for k, v in outputs.items()}


def part(state, prefix):
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def extractor(strides=(8, 16, 32), **layer):
    layer = dict(type='RoIAlign', output_size=14, sampling_ratio=0) | layer
    return AdaptiveRoIExtractor(layer, 4, list(strides))


def test_recorded_heads():
    """Error measured: 6e-8 for masks, 1.8e-7 for their scores."""
    state, outputs = recorded()
    ours = target('detectron2', 'backbone.', state).to_ours(state)
    assert len(ours) == len(state)
    mask_head = SpatialAttentionMaskHead(
        num_convs=2, in_channels=16, conv_out_channels=16, num_classes=5
    )
    mask_head.load_state_dict(part(ours, MASK))
    iou_head = MaskIoUHead(
        num_convs=2, in_channels=16, conv_out_channels=16, num_classes=5
    )
    iou_head.load_state_dict(part(ours, IOU))
    x = torch.as_tensor(values('roi16', (3, 16, 14, 14)))
    with torch.no_grad():
        masks = mask_head(x)
        ious = iou_head(x, masks[torch.arange(3), outputs['labels']])
    assert (masks - outputs['mask_logits']).abs().max() <= 1e-5
    assert (ious - outputs['maskiou']).abs().max() <= 1e-5


def test_recorded_levels():
    _, outputs = recorded()
    image = torch.arange(400) // 200  # two images, 200 boxes each
    rois = torch.cat([image[:, None], outputs['boxes']], 1)
    areas = outputs['image_sizes'].prod(1)[image]
    levels = extractor().map_roi_levels(rois, areas)
    assert levels.dtype == torch.int64
    assert (levels + 3).equal(outputs['levels'])
    assert levels.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize('width, convs, classes', [(8, 1, 1), (24, 4, 7)])
def test_spatial_attention_by_hand(width, convs, classes):
    head = SpatialAttentionMaskHead(
        num_convs=convs,
        in_channels=12,
        conv_out_channels=width,
        num_classes=classes,
    )
    shapes = {k: tuple(v.shape) for k, v in head.state_dict().items()}
    head.load_state_dict(fill(shapes))
    state = dict(head.named_parameters())
    x = torch.randn(2, 12, 14, 14)
    given = x
    for i in range(convs):
        conv = f'convs.{i}.conv.'
        weight, bias = state[conv + 'weight'], state[conv + 'bias']
        x = F.conv2d(x, weight, bias, padding=1).relu()
    stacked = torch.stack([x.mean(1), x.max(1).values], 1)
    weight = state['spatial_attention.conv.weight']
    x = x * F.conv2d(stacked, weight, padding=1).sigmoid()
    up = state['upsample.weight'], state['upsample.bias']
    x = F.conv_transpose2d(x, *up, stride=2).relu()
    logits = state['conv_logits.weight'], state['conv_logits.bias']
    torch.testing.assert_close(head(given), F.conv2d(x, *logits))
    assert 'spatial_attention.conv.bias' not in state


def test_masks_start_at_one_half():
    head = SpatialAttentionMaskHead(num_classes=3)
    head.init_weights()
    with torch.no_grad():
        masks = head(torch.rand(1, 256, 14, 14)).sigmoid()
    assert (masks - 0.5).abs().max() < 0.05


def test_levels_depend_on_the_size_of_the_image():
    """ceil(5 - log2(A_image / A_box)), within 3 to 5."""
    box = torch.tensor([[0.0, 0, 0, 100, 100]]).expand(6, 5)
    shares = torch.tensor([1, 2, 2.01, 4, 4.01, 1000])
    levels = extractor().map_roi_levels(box, shares * 100 * 100)
    assert levels.tolist() == [2, 1, 1, 0, 0, 0]


def test_levels_of_boxes_without_an_area():
    rois = torch.tensor([[0.0, 5, 5, 5, 9], [0, 9, 9, 5, 5], [0, 5, 9, 9, 5]])
    levels = extractor().map_roi_levels(rois, torch.full((3,), 4096))
    assert levels.tolist() == [0, 0, 0]


def test_levels_of_no_boxes_and_of_other_strides():
    none = extractor().map_roi_levels(torch.zeros(0, 5), torch.zeros(0))
    assert none.shape == (0,) and none.dtype == torch.int64
    rois = torch.tensor([[0.0, 0, 0, 64, 64], [0, 0, 0, 8, 8]])
    areas = torch.full((2,), 64 * 64)
    assert extractor((4, 8)).map_roi_levels(rois, areas).tolist() == [1, 0]


@pytest.mark.parametrize('strides', [(8, 32), (6, 12), (16, 8)])
def test_strides_that_are_no_levels(strides):
    with pytest.raises(ValueError, match='powers of 2'):
        extractor(strides)


def test_features_come_from_the_level():
    """Each map holds its number; a level without boxes gets a gradient."""
    maps = [
        torch.full((2, 4, size, size), float(i), requires_grad=True)
        for i, size in enumerate((8, 4, 2))
    ]
    rois = torch.tensor([[1.0, 0, 0, 60, 60], [0, 8, 8, 24, 24]])
    out = extractor()(maps, rois, torch.full((2,), 64 * 64))
    assert out.shape == (2, 4, 14, 14)
    numbers = torch.tensor([2.0, 0]).view(2, 1, 1, 1)
    torch.testing.assert_close(out, numbers.expand_as(out))
    out.sum().backward()
    assert [bool(x.grad.any()) for x in maps] == [True, False, True]


@pytest.mark.parametrize('count', [0, 3])
def test_align_is_mmcvs(count):
    """Aligned by half a pixel, and as dense as the map, as detectron2's."""
    (layer, *_) = extractor().roi_layers
    assert layer.aligned and layer.sampling_ratio == 0
    assert layer.output_size == (14, 14)
    maps = [torch.rand(1, 4, s, s) for s in (8, 4, 2)]
    rois = torch.tensor([[0.0, 3, 4, 20, 31]]).repeat(count, 1)
    out = extractor()(maps, rois, torch.full((count,), 64 * 64))
    if count:
        torch.testing.assert_close(out, layer(maps[0], rois))
    assert out.shape == (count, 4, 14, 14)
