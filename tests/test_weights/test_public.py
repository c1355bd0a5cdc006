import re
from ast import literal_eval
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from mmvovnet import VoVNet
from mmvovnet.weights import CheckpointError, dialects
from mmvovnet.weights.dialects import NAMES
from mmvovnet.weights.public import (
    default_weights,
    public_file,
    public_files,
)

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
    assert file.urls[0].startswith(('https://', 'hf-hub:'))
    assert re.fullmatch(r'https://github\.com/[\w.-]+/[\w.-]+', file.source)
    assert re.fullmatch('[0-9a-f]*', file.sha256)
    if 'dcn' not in file.options:
        build(repr(file.options))


def test_addresses_are_distinct():
    assert len({file.urls[0] for file in FILES}) == len(FILES)


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
        urls = weights[name].urls if name in weights else (None,)
        assert model.get('Weights') == urls[0], name


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
    with pytest.raises(CheckpointError, match='like it .*faster_V_39_eSE'):
        public_file('faster_V_39')


def test_defaults_live_and_come_first():
    firsts = {}
    for file in FILES:
        if file.lives and isinstance(file.options['arch'], str):
            firsts.setdefault(file.options['arch'], file)
    for arch in VoVNet.arch_settings:
        assert default_weights(arch) == firsts.get(arch)
    missing = [a for a in VoVNet.arch_settings if not default_weights(a)]
    assert missing == ['V-93', 'V-99', 'V-19-slim-dw-eSE', 'V-19-slim-eSE']


# Typed anew from the pages of both codes.
@pytest.mark.parametrize(
    ('name', 'end', 'digest', 'top_1'),
    [
        (
            'vovnet27s_pytorchcv',
            'v0.0.551/vovnet27s-0997-b7a5bf67.pth.zip',
            'b7a5bf677bd3431bbed44b439fde7a01d699ace1',
            100 - 29.78,
        ),
        (
            'vovnet39_pytorchcv',
            'v0.0.493/vovnet39-0564-63bfa613.pth.zip',
            '63bfa613870b37bd4fb5b71412e7875392aa4f66',
            100 - 21.71,
        ),
        (
            'vovnet57_pytorchcv',
            'v0.0.505/vovnet57-0518-c080e471.pth.zip',
            'c080e47169a176043f298b1e909ddd8776d5aa76',
            100 - 20.33,
        ),
        ('vovnet27_slim_toolbox', 'slim-dd43306a.pth', 'dd43306a', 71.6),
        ('vovnet39_toolbox', 'vovnet39-4c79d629.pth', '4c79d629', 78.2),
        ('vovnet57_toolbox', 'vovnet57-ecb9cc34.pth', 'ecb9cc34', 79.3),
        ('vovnet19_slim_ese_toolbox', '-f8075640.pth', 'f8075640', 70.8),
        ('vovnet19_ese_toolbox', '-a077657e.pth', 'a077657e', 75.4),
        ('vovnet39_ese_toolbox', '-9ce81b0d.pth', '9ce81b0d', 78.1),
        ('vovnet57_ese_toolbox', '-ae1a7f89.pth', 'ae1a7f89', 79.2),
        ('vovnet99_ese_toolbox', '-713f3062.pth', '713f3062', 80.7),
    ],
)
def test_files_on_github(name, end, digest, top_1):
    file = public_file(name)
    assert file.urls[0].endswith(end)
    assert digest in (file.sha1, file.sha256)
    assert file.metrics['top-1'] == pytest.approx(top_1)
    assert file.lives and file.pixels == dialects.IMAGENET
    assert build(repr(file.options)).pool_padding == name.endswith('toolbox')


def test_dropbox_is_not_recommended():
    for file in FILES:
        assert file.lives != ('dropbox.com' in file.urls[0])
    assert sum(file.lives for file in FILES) == 22
