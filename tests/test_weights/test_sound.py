import pytest
import torch

from mmvovnet import VoVNet
from mmvovnet.weights import CheckpointError
from mmvovnet.weights.convert import convert_file
from mmvovnet.weights.sound import check_sound

WHOLE = VoVNet('V-27-slim').state_dict()
KEY = 'stages.1.blocks.0.layers.1.conv.weight'


def broken(change):
    state = dict(WHOLE)
    if change == 'nan':
        state[KEY] = torch.full_like(state[KEY], torch.nan)
    elif change == 'missing':
        del state[KEY]
    elif change == 'transposed':
        state['stages.0.blocks.0.aggregate.conv.weight'] = state[
            'stages.0.blocks.0.aggregate.conv.weight'
        ].transpose(0, 1)
    return state


@pytest.mark.parametrize(
    'change, said',
    [
        ('nan', 'NaN or infinite weights'),
        ('missing', f'{KEY} (missing)'),
        ('transposed', 'no whole VoVNet'),
    ],
)
def test_nothing_broken_is_converted(tmp_path, change, said):
    source, target = tmp_path / 'source.pth', tmp_path / 'target.pth'
    torch.save(broken(change), source)
    with pytest.raises(CheckpointError) as error:
        convert_file(source, target, to='timm')
    assert said in str(error.value)
    assert not target.exists()


@pytest.mark.parametrize(
    'options',
    [
        dict(arch='V-19-slim-dw-eSE'),
        dict(arch='V-27-slim', out_indices=(1,)),
        dict(arch='V-27-slim', gate='ECA', in_channels=1),
        dict(arch='V-27-slim', norm_cfg=dict(type='GN', num_groups=2)),
        dict(arch='V-27-slim', bottleneck=True),
    ],
)
def test_whole_networks_pass(options):
    check_sound(VoVNet(**options).state_dict())
