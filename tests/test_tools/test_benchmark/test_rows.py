import pytest
import torch
from benchmark import ROWS, build_row


@pytest.mark.parametrize('row', ROWS)
def test_every_row_builds(row):
    source = row.rpartition(':')[0]
    if source:
        pytest.importorskip(source, reason=f'{source} is not installed')
    # mmpretrain's ResNet reads values of tensors that it makes.
    with torch.device('cpu' if source == 'mmpretrain' else 'meta'):
        model = build_row(row)
    assert model.training


def test_fcos_trains_on_a_backbone():
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    model = build_row('V-27-slim+fcos')
    x = torch.rand(2, 3, 64, 64)
    sum(model(x)).backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.bbox_head.parameters())
    assert len(model.eval()(x)) == 3 * 5  # classes, boxes and centerness


@pytest.mark.parametrize(
    ('row', 'match'),
    [
        ('nowhere:V-39', "unknown source 'nowhere'"),
        ('V-39+magic', 'modes that VoVNet does not have'),
        ('timm:vovnet39a+with_cp', 'modes that timm does not have'),
    ],
)
def test_wrong_row(row, match):
    with pytest.raises(ValueError, match=match):
        build_row(row)


def test_a_detector_compiles_backbone_and_neck():
    model = build_row('V-27-slim+fcos+compile')
    compiled = [
        name
        for name, module in model.named_modules()
        if module._compiled_call_impl is not None
    ]
    assert compiled == ['backbone', 'neck']
