import pytest
import torch

from mmvovnet.analysis.benchmark import ROWS, build_row


@pytest.mark.parametrize('row', ROWS)
def test_every_row_builds(row):
    source = row.rpartition(':')[0]
    if source:
        pytest.importorskip(source, reason=f'{source} is not installed')
    # mmpretrain's ResNet reads values of tensors that it makes.
    with torch.device('cpu' if source == 'mmpretrain' else 'meta'):
        model = build_row(row)
    assert model.training


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
