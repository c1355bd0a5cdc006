import json

import pytest
import torch

from mmvovnet import VoVNet
from mmvovnet.weights import CheckpointError, convert
from mmvovnet.weights.convert import write_hub_folder

pytest.importorskip('safetensors')
IMAGES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def write(tmp_path):
    def write(state):
        torch.save(state, tmp_path / 'source.pth')
        folder = tmp_path / 'new' / 'model'
        return write_hub_folder(tmp_path / 'source.pth', folder)

    return write


def test_timm_reads_it(write, tmp_path):
    """Weights for BGR images of detectron2, given RGB ones by timm."""
    timm = pytest.importorskip('timm')
    ours = VoVNet('V-19-slim-dw-eSE', out_indices=(3,)).eval()
    config, weights = write(convert(ours.state_dict(), 'detectron2'))
    assert config.name == 'config.json' and weights.stat().st_size > 10**6
    theirs = timm.create_model(
        f'local-dir:{tmp_path / "new" / "model"}', pretrained=True
    ).eval()
    mean, std = (theirs.pretrained_cfg[key] for key in ('mean', 'std'))
    with torch.no_grad():
        bgr = IMAGES.flip(1) * 255
        expected = ours(
            bgr - torch.tensor([103.53, 116.28, 123.675]).view(1, 3, 1, 1)
        )[0]
        found = theirs.forward_features(
            (IMAGES - torch.tensor(mean).view(1, 3, 1, 1))
            / torch.tensor(std).view(1, 3, 1, 1)
        )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    back = VoVNet.from_pretrained(weights)
    assert back.arch['num_layers'] == 3


def test_a_classifier_keeps_its_classes(write):
    state = {
        f'backbone.{k}': v
        for k, v in VoVNet('V-19-slim-eSE').state_dict().items()
    }
    state['head.fc.weight'] = torch.zeros(7, 512)
    state['head.fc.bias'] = torch.zeros(7)
    config = json.loads(write(state)[0].read_text())
    assert config['architecture'] == 'ese_vovnet19b_slim'
    assert (
        config['num_classes'] == config['pretrained_cfg']['num_classes'] == 7
    )
    assert config['pretrained_cfg']['mean'] == [0.485, 0.456, 0.406]


def test_nan_is_not_written(write, tmp_path):
    pytest.importorskip('timm')
    state = VoVNet('V-19-slim-eSE').state_dict()
    state['stem.1.conv.weight'][0] = torch.nan
    with pytest.raises(CheckpointError, match='NaN or infinite weights'):
        write(state)
    assert not (tmp_path / 'new' / 'model').exists()


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(arch='V-27-slim'), r"it has \['.*vovnet39a"),
        (dict(arch='V-19-slim-eSE', bottleneck=True), 'no such part as'),
    ],
)
def test_what_timm_has_not_is_refused(options, said, write, tmp_path):
    pytest.importorskip('timm')
    with pytest.raises(CheckpointError, match=said):
        write(VoVNet(**options).state_dict())
    assert not (tmp_path / 'new' / 'model').exists()
