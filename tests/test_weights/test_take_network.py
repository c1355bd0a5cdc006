"""A config takes the network and the pixels of a published detector."""

import copy

import pytest
import torch
from mmengine.config import Config

import mmvovnet.engine  # noqa: F401, load_checkpoint
from mmvovnet import VoVNet
from mmvovnet.weights import convert
from mmvovnet.weights.pretrained import take_network

from ..test_configs.files import ROOT

FOLDER = ROOT / 'faster_rcnn'


@pytest.mark.parametrize(
    ('config', 'arch', 'channels'),
    [
        ('faster-rcnn_vovnet19-ese_fpn_ms-3x_coco', 'V-19-eSE', 256),
        (
            'faster-rcnn_vovnet19-slim-ese_fpnlite_ms-3x_coco',
            'V-19-slim-eSE',
            112,
        ),
    ],
)
def test_the_authors_network_and_pixels(config, arch, channels, tmp_path):
    state = VoVNet(arch).state_dict()
    whole = {f'backbone.{name}': value for name, value in state.items()}
    path = tmp_path / 'detector.pth'
    torch.save(dict(model=convert(whole, to='detectron2')), path)
    model = Config.fromfile(FOLDER / f'{config}.py').model
    assert model.backbone.pool_padding == 1
    take_network(model, str(path))
    assert model.neck.in_channels[0] == channels
    given = model.data_preprocessor
    assert (given.mean, given.std, given.bgr_to_rgb) == (
        [103.53, 116.28, 123.675],
        [1.0, 1.0, 1.0],
        False,
    )
    options = {k: v for k, v in model.backbone.items() if k != 'type'}
    ours, theirs = VoVNet(**options).eval(), VoVNet(arch).eval()
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    image = torch.rand(1, 3, 75, 75)
    pairs = zip(ours(image), theirs(image), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_files_in_our_names_change_nothing(tmp_path):
    path = tmp_path / 'epoch_12.pth'
    state = VoVNet('V-19-eSE').state_dict()
    torch.save({f'backbone.{k}': v for k, v in state.items()}, path)
    config = FOLDER / 'faster-rcnn_vovnet19-ese_fpn_ms-3x_coco.py'
    model = Config.fromfile(config).model
    before = copy.deepcopy(model)
    take_network(model, str(path))
    assert model == before
