import re
from ast import literal_eval
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from mmvovnet import VoVNet
from mmvovnet.weights import CheckpointError, dialects
from mmvovnet.weights.convert import NAMES
from mmvovnet.weights.public import public_file, public_files

ROOT = Path(__file__).parents[2]
FILES = public_files().values()


@cache
def build(options):
    """Once for all files of the same options."""
    with torch.device('meta'):
        return VoVNet(**literal_eval(options))


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_row(file):
    assert file.dialect in NAMES
    assert file.url.startswith(('https://', 'hf-hub:'))
    assert re.fullmatch(r'https://github\.com/[\w.-]+/[\w.-]+', file.source)
    assert re.fullmatch('[0-9a-f]*', file.sha256)
    if 'dcn' not in file.options:
        build(repr(file.options))


def test_addresses_are_distinct():
    assert len({file.url for file in FILES}) == len(FILES)


# Typed anew from the authors' pages; the configs cite the same metrics.
@pytest.mark.parametrize(
    ('name', 'metrics'),
    [
        ('ese_vovnet39b.ra_in1k', {'top-1': 79.31, 'top-1 at 288': 80.38}),
        ('ese_vovnet19b_dw.ra_in1k', {'top-1': 76.83, 'top-1 at 288': 77.79}),
        (
            'ese_vovnet57b.ra4_e3600_r256_in1k',
            {'top-1 at 256': 82.46, 'top-1 at 320': 83.30},
        ),
        ('vovnet39_torchvision', {'top-1': 100 - 23.23}),
        ('vovnet57_torchvision', {'top-1': 100 - 22.27}),
        ('faster_V_19_eSE_ms_3x', {'box AP': 38.9}),
        ('faster_V_39_eSE_ms_3x', {'box AP': 42.7}),
        ('faster_V_57_eSE_ms_3x', {'box AP': 43.3}),
        ('faster_V_99_eSE_ms_3x', {'box AP': 44.1}),
        ('mask_V_19_eSE_ms_3x', {'box AP': 40.1, 'mask AP': 36.6}),
        ('mask_V_39_eSE_ms_3x', {'box AP': 43.8, 'mask AP': 39.3}),
        ('mask_V_57_eSE_ms_3x', {'box AP': 44.2, 'mask AP': 39.7}),
        ('mask_V_99_eSE_ms_3x', {'box AP': 44.9, 'mask AP': 40.3}),
        ('fcos_V_39_eSE_FPN_ms_3x', {'box AP': 43.5}),
        ('fcos_V_99_eSE_FPN_ms_3x', {'box AP': 45.2}),
        ('faster_rcnn_V_19_eSE_dw_FPNLite_ms_3x', {'box AP': 36.7}),
        ('faster_rcnn_V_19_eSE_slim_FPNLite_ms_3x', {'box AP': 35.2}),
        ('faster_rcnn_V_19_eSE_slim_dw_FPNLite_ms_3x', {'box AP': 32.4}),
        ('fast_V_19_eSE_FPNLite_ms_3x', {'box AP': 38.9}),
        ('centermask2-V-39-eSE-FPN-ms-3x', {'box AP': 44.2, 'mask AP': 39.7}),
        ('centermask2-V-57-eSE-FPN-ms-3x', {'box AP': 45.1, 'mask AP': 40.5}),
        ('centermask2-V-99-eSE-FPN-ms-3x', {'box AP': 46.0, 'mask AP': 41.4}),
        ('FCOS-V-39-FPN-1x', {'box AP': 37.7}),
        ('FRCN-V-39-FPN-2x-norm', {'box AP': 39.8}),
    ],
)
def test_published_metrics(name, metrics):
    assert public_file(name).metrics == pytest.approx(metrics)


@pytest.mark.parametrize(
    ('name', 'pixels'),
    [
        ('ese_vovnet39b.ra_in1k', dialects.IMAGENET),
        ('ese_vovnet57b.ra4_e3600_r256_in1k', dialects.HALF),
        ('vovnet39_ese_detectron2', dialects.DETECTRON2),
        ('centermask-V2-39-FPN-ms-3x', dialects.CAFFE),
        ('fcos3d_vovnet_imgbackbone-remapped', dialects.IMAGENET_BGR),
    ],
)
def test_pixels(name, pixels):
    assert public_file(name).pixels == pixels


def models():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return {
        model['Name']: model
        for path in index['Import']
        for model in yaml.safe_load((ROOT / path).read_text())['Models']
    }


def test_configs_name_their_weights():
    """What `mim download` fetches is the table's file of that config."""
    listed = models()
    weights = {f.config: f for f in FILES if f.config}
    assert weights.keys() <= listed.keys()
    for name, model in listed.items():
        assert model.get('Weights') == getattr(
            weights.get(name), 'url', None
        ), name


def test_cited_metrics_are_those_of_the_weights():
    listed = models()
    for file in filter(lambda file: file.config, FILES):
        cited = {
            key.removesuffix(' (cited)'): value
            for result in listed[file.config].get('Results', [])
            for key, value in result['Metrics'].items()
        }
        for key, value in file.metrics.items():
            key = key.replace('top-1', 'Top 1 Accuracy')
            assert cited[key] == value, file.name


def test_unknown_name():
    with pytest.raises(CheckpointError, match='near it .*faster_V_39_eSE'):
        public_file('faster_V_39')
