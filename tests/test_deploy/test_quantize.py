"""Files in int8, and what is refused before any work is done."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvovnet import VoVNet
from mmvovnet.apis import build_model
from mmvovnet.deploy import export, load_exported
from mmvovnet.deploy.quantize import calibration_images, quantize

from .small import ARCH, CONFIGS, settle

SIZE = (64, 96)
FCOS = CONFIGS / 'demo' / 'fcos_vovnet27-slim_digits.py'


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, *SIZE, generator=generator)] * 4


def assert_near(path, before, x):
    for actual, expected in zip(
        load_exported(path)(x).values(), before(x).values(), strict=True
    ):
        error = (actual - expected).norm() / expected.norm()
        assert 1e-4 < error < 0.1  # it is int8, and it is near


@pytest.fixture
def path(onnx_backbone, tmp_path):
    """A copy of the exported backbone, to be quantized."""
    return Path(shutil.copy(onnx_backbone, tmp_path))


def test_onnx(onnx_backbone, path, images):
    onnx = pytest.importorskip('onnx')
    quantize(path, images)
    before = load_exported(onnx_backbone)
    assert_near(path, before, images[0])
    nodes = onnx.load(path).graph.node
    made = {name: node.op_type for node in nodes for name in node.output}
    convs = [node for node in nodes if node.op_type == 'Conv']
    quantized = [
        [made.get(name) == 'DequantizeLinear' for name in node.input[:2]]
        for node in convs
    ]
    assert quantized[0] == [False, False]  # it reads the image
    assert quantized[1:-1] == [[True, True]] * (len(convs) - 2)
    assert quantized[-1] == [False, False]  # the gate of the last map
    assert 'QuantizeLinear' in made.values()


@pytest.mark.slow
def test_openvino(tmp_path, images):
    openvino = pytest.importorskip('openvino')
    pytest.importorskip('nncf')
    path = tmp_path / 'model.xml'
    model = settle(VoVNet(ARCH, out_indices=(1, 3)))
    export(model, path, 'openvino', size=SIZE)
    before = load_exported(path)
    export(model, path, 'openvino', size=SIZE, calibration=images)
    assert_near(path, before, images[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'model.bin',
        'model.xml',
    ]
    kinds = [
        op.get_type_name() for op in openvino.Core().read_model(path).get_ops()
    ]
    assert kinds.count('FakeQuantize') > kinds.count('Convolution') / 2


def test_outputs_that_differ_are_refused(path, images):
    """Errors are those of the first image, ranges those of all."""
    wrong = [torch.full((1, 3, *SIZE), 1e-6)]
    with pytest.raises(RuntimeError, match='in int8 the model gives other'):
        quantize(path, [*wrong, *(1e5 * x for x in images)])


@pytest.fixture(scope='module')
def detector():
    pytest.importorskip('mmdet')
    return build_model(FCOS)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The digits' config, with two images of 16x8 in its training set."""
    import json

    import mmcv
    import numpy as np

    for i in range(2):
        image = np.full((8, 16, 3), 100 * i, np.uint8)
        mmcv.imwrite(image, str(tmp_path / f'{i}.png'))
    box = dict(bbox=[1, 1, 5, 5], area=25, category_id=1, iscrowd=0)
    (tmp_path / 'train.json').write_text(
        json.dumps(
            dict(
                images=[
                    dict(id=i, file_name=f'{i}.png', height=8, width=16)
                    for i in range(2)
                ],
                annotations=[dict(box, id=i, image_id=i) for i in range(2)],
                categories=[dict(id=1, name='0')],
            )
        )
    )
    cfg = Config.fromfile(FCOS)
    plain = dict(
        type='CocoDataset',
        ann_file=str(tmp_path / 'train.json'),
        data_prefix=dict(img=str(tmp_path)),
        metainfo=dict(classes=['0']),
        pipeline=[],
    )
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=3, dataset=plain, _delete_=True
    )
    path = tmp_path / 'config.py'
    cfg.dump(path)
    return path


def test_calibration_images(detector, config):
    means = torch.tensor(detector.cfg.model.data_preprocessor.mean)
    stds = torch.tensor(detector.cfg.model.data_preprocessor.std)
    for number, expected in ((1, [0]), (9, [0, 100]), (0, [])):
        found = calibration_images(detector, config, number)
        assert [x.shape for x in found] == [(1, 3, 64, 128)] * len(expected)
        for x, value in zip(found, expected, strict=True):
            torch.testing.assert_close(x[0, :, 0, 0], (value - means) / stds)


def test_no_calibration_images(detector, config):
    cfg = Config.fromfile(config)
    cfg.pop('train_dataloader')
    cfg.dump(config)
    with pytest.raises(ValueError, match='has no train_dataloader'):
        calibration_images(detector, config, 1)


TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--int8', '--format=torchscript'], '--int8 is for onnx and open'),
        (['--calibration', str(FCOS)], '--calibration is for --int8'),
        (['--int8', '--calibration-images=0'], 'is 1 or more, not 0'),
        (['--int8', '--calibration=no.py'], "there is no file 'no.py'"),
    ],
)
def test_bad_options(args, message):
    done = subprocess.run(
        [sys.executable, TOOLS / 'export.py', FCOS, *args],
        text=True,
        capture_output=True,
    )
    assert done.returncode == 2
    assert message in done.stderr
