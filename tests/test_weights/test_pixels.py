from types import SimpleNamespace

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import HOOKS
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.weights import PixelStatisticsHook, convert, dialects

from .peers import authors_shapes, fill

IMAGENET = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)
DETECTRON2 = dict(mean=[103.53, 116.28, 123.675], std=[1, 1, 1])
STATE = fill(authors_shapes('V-27-slim'))


def compare(preprocessor, prefix):
    model = nn.Module()
    model.data_preprocessor = preprocessor
    model.backbone = VoVNet('V-27-slim')
    if prefix is not None:
        model.backbone.load_state_dict(
            {prefix + name: value for name, value in STATE.items()}
        )
    hook = HOOKS.build(dict(type='mmvovnet.PixelStatisticsHook'))
    assert isinstance(hook, PixelStatisticsHook)
    hook.before_test(SimpleNamespace(model=model))


@pytest.mark.parametrize(
    ('given', 'prefix'),
    [
        (IMAGENET, ''),
        (DETECTRON2, 'backbone.bottom_up.'),
        (IMAGENET, None),
        (DETECTRON2, None),
    ],
)
def test_the_same(given, prefix, messages):
    compare(ImgDataPreprocessor(**given), prefix)
    assert not [m for m in messages if m[0] == 'WARNING']


@pytest.mark.parametrize(
    ('given', 'prefix', 'said'),
    [
        (DETECTRON2, '', 'mean=[123.675, 116.28, 103.53]'),
        (IMAGENET, 'backbone.bottom_up.', 'bgr_to_rgb=False'),
        ({**IMAGENET, 'bgr_to_rgb': False}, '', 'bgr_to_rgb=True'),
        (DETECTRON2, 'img_backbone.', 'std=[57.375, 57.12, 58.395]'),
        ({}, '', 'gets BGR images, mean (0.0, 0.0, 0.0)'),
    ],
)
def test_others(given, prefix, said, messages):
    compare(ImgDataPreprocessor(**given), prefix)
    (warning,) = [text for level, text in messages if level == 'WARNING']
    assert said in warning


MMDET3D = dict(mean=DETECTRON2['mean'], std=IMAGENET['std'][::-1])
V2 = fill(authors_shapes('V-19-slim-eSE'))


class Whole(nn.Module):
    """A model that has its backbone under another name."""

    def __init__(self, place, preprocessor):
        super().__init__()
        self.data_preprocessor = ImgDataPreprocessor(**preprocessor)
        self.place = place
        setattr(self, place, VoVNet('V-19-slim-eSE'))

    @property
    def pixels(self):
        return getattr(self, self.place).pixels


@pytest.mark.parametrize(
    ('place', 'prefix', 'given', 'codes'),
    [
        ('img_backbone', 'img_backbone.', MMDET3D, 1),
        ('backbone', 'backbone.bottom_up.', DETECTRON2, 1),
        ('backbone', 'img_backbone.', MMDET3D, 1),
        # Bare names are those of three codes, and none of them is wrong.
        ('backbone', 'backbone.', DETECTRON2, 3),
        ('backbone', 'backbone.', MMDET3D, 3),
    ],
)
def test_the_prefix_tells_the_code(place, prefix, given, codes, messages):
    model = Whole(place, given)
    backbone = getattr(model, place)
    if prefix.startswith(place):
        model.load_state_dict({prefix + k: v for k, v in V2.items()})
    else:
        backbone.load_state_dict({prefix + k: v for k, v in V2.items()})
    assert len(model.pixels) == codes
    (said,) = [text for _, text in messages if 'data_preprocessor' in text]
    assert ('guess' in said) == (codes > 1)
    PixelStatisticsHook().before_test(SimpleNamespace(model=model))
    assert not [m for m in messages if m[0] == 'WARNING']


def test_a_guess_lists_the_others(messages):
    model = Whole('backbone', IMAGENET)
    model.backbone.load_state_dict(V2)
    PixelStatisticsHook().before_test(SimpleNamespace(model=model))
    (warning,) = [text for level, text in messages if level == 'WARNING']
    assert warning.count('or else') == 2
    assert 'std (57.375, 57.12, 58.395)' in warning


def test_ours_replace_them():
    backbone = VoVNet('V-27-slim')
    backbone.load_state_dict(STATE)
    assert [p.order for p in backbone.pixels] == ['RGB']
    backbone.load_state_dict(backbone.state_dict())
    assert backbone.pixels == ()


def test_timm_v57_has_its_own(messages):
    timm = pytest.importorskip('timm')
    pixels = {}
    for name, arch in (('39', 'V-39-eSE'), ('57', 'V-57-eSE')):
        with torch.device('meta'):
            peer = timm.create_model(f'ese_vovnet{name}b')
            model = VoVNet(arch, gate_place='last')
            model.load_state_dict(peer.state_dict(), assign=True)
        (pixels[name],) = [
            tuple(255 * x for x in (*cfg.mean, *cfg.std))
            for cfg in map(
                timm.models.get_pretrained_cfg,
                timm.list_pretrained(f'ese_vovnet{name}b'),
            )
        ]
        order, mean, std = model.pixels[0]
        assert order == 'RGB'
        assert (*mean, *std) == pytest.approx(pixels[name])
        assert len(mean) == len(std) == 3
    assert pixels['39'] != pixels['57']


def test_mmpretrain(messages):
    mmpretrain = pytest.importorskip('mmpretrain.models')
    given = dict(IMAGENET, to_rgb=True)
    del given['bgr_to_rgb']
    compare(mmpretrain.ClsDataPreprocessor(**given), '')
    assert not [m for m in messages if m[0] == 'WARNING']


def test_mmsegmentation(messages):
    mmseg = pytest.importorskip('mmseg.models')
    compare(mmseg.SegDataPreProcessor(**IMAGENET), '')
    assert not [m for m in messages if m[0] == 'WARNING']


def test_the_table_knows_more_than_names(tmp_path, monkeypatch):
    """DD3D's file has detectron2's names, and other pixels."""
    name = 'depth_pretrained_v99-3jlw0p36-20210423_010520-model_final-remapped'
    arch = 'V-19-slim-dw-eSE'
    path = tmp_path / f'{name}.pth'
    torch.save(convert(VoVNet(arch).state_dict(), to='detectron2'), path)
    monkeypatch.setenv('MMVOVNET_WEIGHTS', str(tmp_path))
    init_cfg = dict(type='Pretrained', checkpoint=f'vovnet://{name}')
    model = VoVNet(arch, init_cfg=init_cfg)
    model.init_weights()
    assert model.pixels == (dialects.IMAGENET_BGR,)
