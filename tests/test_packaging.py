"""The distribution, as pip and mim see it."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

import mmvovnet
from mmvovnet import VoVNet

ROOT = Path(__file__).parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
MODELS_LISTED = [
    model
    for path in INDEX['Import']
    for model in yaml.safe_load((ROOT / path).read_text())['Models']
]


@pytest.mark.parametrize('entry', MODELS_LISTED, ids=lambda e: e['Name'])
def test_metafile(entry):
    path = ROOT / entry['Config']
    assert path.stem == entry['Name']
    cfg = Config.fromfile(path)
    assert cfg.train_cfg.max_epochs == entry['Metadata']['Epochs']
    init_default_scope(cfg.default_scope)
    try:
        model = MODELS.build(cfg.model)
    finally:
        DefaultScope._instance_dict.clear()
    count = sum(p.numel() for p in model.parameters())
    assert count == entry['Metadata']['Parameters']


def test_every_flat_config_is_listed():
    flat = {path.stem for path in (ROOT / 'configs').glob('*.py')}
    assert {entry['Name'] for entry in MODELS_LISTED} == flat


def test_the_readme_counts_parameters_right():
    readme = (ROOT / 'README.md').read_text()
    rows = re.findall(r'^\| `(V-[\w-]+)` \| ([\d.]+) M \|', readme, re.M)
    counts = {
        arch: sum(p.numel() for p in VoVNet(arch).parameters()) / 1e6
        for arch in VoVNet.arch_settings
    }
    assert dict(rows) == {k: f'{v:.2f}' for k, v in counts.items()}


def test_import_takes_no_optional_package():
    code = (
        'import sys, mmvovnet;'
        "heavy = {'mmdet', 'mmpretrain', 'sklearn', 'matplotlib', 'timm',"
        " 'pycocotools'};"
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        text=True,
        capture_output=True,
        check=True,
    )
    # mmengine itself imports matplotlib.
    assert done.stdout.strip() in ('[]', "['matplotlib']")


def test_import_without_ops():
    """mmcv-lite has no ``mmcv.ops``."""
    code = (
        "import sys; sys.modules['mmcv._ext'] = None; import mmvovnet, torch;"
        "model = mmvovnet.VoVNet('V-27-slim').eval();"
        'print(len(model(torch.rand(1, 3, 64, 64))))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.strip() == '4'


def test_wheel(tmp_path):
    """The wheel carries what mim looks for."""
    pytest.importorskip('hatchling', reason='hatchling is not installed')
    subprocess.run(
        [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d',
         tmp_path],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob('*.whl')
    assert wheel.name.startswith(f'mmvovnet-{mmvovnet.__version__}-')
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = [
        'mmvovnet/models/vovnet.py',
        'mmvovnet/.mim/model-index.yml',
        'mmvovnet/.mim/configs/metafile.yml',
        'mmvovnet/.mim/tools/train.py',
        'mmvovnet/.mim/tools/test.py',
    ]
    configs = (ROOT / 'configs').rglob('*.py')
    expected += [f'mmvovnet/.mim/{p.relative_to(ROOT)}' for p in configs]
    assert set(expected) <= names
    assert not [n for n in names if '__pycache__' in n]
