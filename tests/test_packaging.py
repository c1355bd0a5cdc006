"""The distribution, as pip and mim see it."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import mmcv
import numpy as np
import pytest
import yaml

import mmvovnet
from mmvovnet import VoVNet

ROOT = Path(__file__).parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
MODELS_LISTED = [
    model
    for path in INDEX['Import']
    for model in yaml.safe_load((ROOT / path).read_text())['Models']
]
PAGE = ' '.join(
    (ROOT / 'configs' / 'faster_rcnn' / 'README.md').read_text().split()
)


# The parameters of CenterMask besides its backbone: FPN, FCOS head, mask head
# with spatial attention and mask IoU head, after arXiv 1911.06667.
CENTERMASK = 3_540_992 + 4_920_666 + 2_643_298 + 16_340_304


@pytest.mark.parametrize(
    ('arch', 'published'),
    [
        ('V-19-eSE', 37.6),
        ('V-39-eSE', 52.6),
        ('V-57-eSE', 68.9),
        ('V-99-eSE', 96.9),
    ],
)
def test_published_counts_are_those_of_centermask(arch, published):
    """vovnet-detectron2 gives them for Faster R-CNN; see PAGE."""
    backbone = VoVNet(arch, norm_cfg=dict(type='BN', requires_grad=False))
    trained = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    other = (trained + CENTERMASK) / 1e6
    assert round(other, 1) == published
    assert f'{published} M for {arch}' in PAGE


@pytest.mark.parametrize(
    ('arch', 'published'),
    [
        ('V-19-eSE', 11.2),
        ('V-19-dw-eSE', 6.5),
        ('V-19-slim-eSE', 3.1),
        ('V-19-slim-dw-eSE', 1.8),
    ],
)
def test_published_light_counts_are_those_of_classifiers(arch, published):
    """vovnet-detectron2 gives them for FPNLite; see PAGE."""
    name = arch.lower().replace('v-', 'vovnet')
    (classifier,) = (
        entry['Metadata']['Parameters'] / 1e6
        for entry in MODELS_LISTED
        if entry['Name'] == f'{name}_8xb32_in1k'
    )
    assert int(classifier * 10) / 10 == published
    assert f'{published} M for {arch}' in PAGE


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
        'mmvovnet/weights/public.csv',
        'mmvovnet/py.typed',
        f'mmvovnet-{mmvovnet.__version__}.dist-info/entry_points.txt',
        'mmvovnet/.mim/model-index.yml',
        'mmvovnet/.mim/tools/train.py',
        'mmvovnet/.mim/tools/test.py',
    ]
    configs = (ROOT / 'configs').rglob('*.py')
    expected += [f'mmvovnet/.mim/{p.relative_to(ROOT)}' for p in configs]
    expected += [f'mmvovnet/.mim/{path}' for path in INDEX['Import']]
    assert set(expected) <= names
    assert not [n for n in names if '__pycache__' in n]


@pytest.fixture(scope='module')
def fresh(tmp_path_factory):
    """An environment with this wheel, which sees what is installed here."""
    pytest.importorskip('build', reason='build is not installed')
    pytest.importorskip('mim', reason='openmim is not installed')
    folder = tmp_path_factory.mktemp('fresh')
    run(sys.executable, '-m', 'build', '--no-isolation', '-o', folder, ROOT)
    (wheel,) = folder.glob('*.whl')
    (sdist,) = folder.glob('*.tar.gz')
    venv.create(folder / 'env')
    python = folder / 'env' / 'bin' / 'python'
    site = run(python, '-c', 'import site; print(site.getsitepackages()[0])')
    # After its own, and without the editable install of this checkout, which
    # a .pth file there would add.
    Path(site.strip(), 'other.pth').write_text(
        '\n'.join(p for p in sys.path if p.endswith('-packages'))
    )
    run(sys.executable, '-m', 'pip', '--python', python, 'install',
        '--no-deps', '--no-index', wheel)  # fmt: skip
    return python, sdist


def run(*command, **kwargs):
    done = subprocess.run(
        command,
        env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **kwargs,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.mark.slow
def test_sdist(fresh, tmp_path):
    """The sdist makes the same package, and carries its tests."""
    _, sdist = fresh
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    for folder in ('mmvovnet', 'configs', 'tools', 'tests', 'docs'):
        expected = {
            str(path.relative_to(ROOT))
            for path in (ROOT / folder).rglob('*.py')
            if '_build' not in path.parts
        }
        assert expected <= names
    assert {'model-index.yml', 'constraints.txt', 'Makefile'} <= names


@pytest.mark.slow
def test_mim_finds_the_package(fresh, tmp_path):
    python, _ = fresh
    code = 'import mmvovnet; print(mmvovnet.__file__)'
    found = run(python, '-c', code, cwd=tmp_path).splitlines()[-1]
    assert Path(found).is_relative_to(python.parents[1])
    searched = run(python, '-m', 'mim', 'search', 'mmvovnet', cwd=tmp_path)
    for entry in MODELS_LISTED:
        assert entry['Name'] in searched
    report = run(
        python, '-m', 'mim', 'run', 'mmvovnet', 'check_stack', cwd=tmp_path
    )
    assert 'nothing is wrong' in report


@pytest.fixture
def coco(tmp_path):
    """Two images with a box each, as a COCO data set; options for it."""
    from mmdet.datasets import CocoDataset

    classes = CocoDataset.METAINFO['classes']
    for i in range(2):
        image = np.full((64, 64, 3), 60 * i, np.uint8)
        image[16:48, 16:48] = 255
        mmcv.imwrite(image, str(tmp_path / f'{i}.png'))
    box = dict(bbox=[16, 16, 32, 32], area=1024, iscrowd=0, category_id=1)
    (tmp_path / 'labels.json').write_text(
        json.dumps(
            dict(
                images=[
                    dict(id=i, file_name=f'{i}.png', width=64, height=64)
                    for i in range(2)
                ],
                annotations=[dict(box, id=i, image_id=i) for i in range(2)],
                categories=[
                    dict(id=i, name=name) for i, name in enumerate(classes, 1)
                ],
            )
        )
    )
    data = 'train_dataloader.dataset'
    return [
        f'{data}.data_root={tmp_path}/',
        f'{data}.ann_file=labels.json',
        f'{data}.data_prefix.img=',
        f'{data}.pipeline.2.scale=(64,64)',
        'train_dataloader.num_workers=0',
        'train_cfg.max_epochs=1',
        'model.backbone.arch=V-27-slim',
        'model.neck.in_channels=[256,384,512]',
        'val_dataloader=None',
        'val_cfg=None',
        'val_evaluator=None',
        'from_scratch=True',
    ]


@pytest.mark.slow
def test_mim_trains_by_the_name_of_a_config(fresh, coco, tmp_path):
    python, _ = fresh
    run(python, '-m', 'mim', 'train', 'mmvovnet', 'fcos_vovnet39.py',
        '--work-dir', tmp_path / 'run', '--cfg-options', *coco,
        cwd=tmp_path)  # fmt: skip
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


@pytest.mark.slow
def test_mim_searches_a_grid(fresh, coco, tmp_path):
    python, _ = fresh
    run(python, '-m', 'mim', 'gridsearch', 'mmvovnet', 'fcos_vovnet39.py',
        '--work-dir', tmp_path / 'grid', '--search-args',
        '--optim_wrapper.optimizer.lr 0.01 0.02', '--cfg-options', *coco,
        cwd=tmp_path)  # fmt: skip
    found = list(tmp_path.glob('grid_search_*lr_0.0?/epoch_1.pth'))
    assert len(found) == 2
