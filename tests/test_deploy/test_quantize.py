"""Files in int8, and what is refused before any work is done."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvovnet import VoVNet
from mmvovnet.apis import build_model
from mmvovnet.deploy import export, load_exported
from mmvovnet.deploy.quantize import calibration_images

from .small import ARCH, CONFIGS, settle

SIZE = (64, 96)
FCOS = CONFIGS / 'demo' / 'fcos_vovnet27-slim_digits.py'


def images(number=4):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, *SIZE, generator=generator)] * number


@pytest.fixture
def model():
    return settle(VoVNet(ARCH, out_indices=(1, 3)))


def assert_near(path, model):
    x = images(1)[0]
    exported = load_exported(path)
    assert exported.metadata['precision'] == 'int8'
    with torch.no_grad():
        for actual, expected in zip(
            exported(x).values(), model(x), strict=True
        ):
            error = (actual - expected).norm() / expected.norm()
            assert 1e-4 < error < 0.1  # it is int8, and it is near


def test_onnx(model, tmp_path):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    path = tmp_path / 'model.onnx'
    export(model, path, size=SIZE, calibration=images())
    assert_near(path, model)
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
def test_openvino(model, tmp_path):
    openvino = pytest.importorskip('openvino')
    pytest.importorskip('nncf')
    path = tmp_path / 'model.xml'
    export(model, path, 'openvino', size=SIZE, calibration=images())
    assert_near(path, model)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'model.bin',
        'model.xml',
    ]
    kinds = [
        op.get_type_name() for op in openvino.Core().read_model(path).get_ops()
    ]
    assert kinds.count('FakeQuantize') > kinds.count('Convolution') / 2


def test_outputs_that_differ_are_refused(model, tmp_path):
    pytest.importorskip('onnxruntime')
    wrong = [torch.full((1, 3, *SIZE), 1e-6)]
    right = images(1)
    with pytest.raises(RuntimeError, match='in int8 the model gives other'):
        # Errors are those of the first image, ranges those of all.
        export(
            model,
            tmp_path / 'model.onnx',
            size=SIZE,
            calibration=[*wrong, *(1e5 * x for x in right)],
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('format', 'calibration', 'message'),
    [
        ('torchscript', [torch.rand(1, 3, *SIZE)], "not 'torchscript'"),
        ('onnx', [], 'one calibration image or more'),
    ],
)
def test_bad_arguments(model, tmp_path, format, calibration, message):
    suffix = dict(torchscript='.torchscript', onnx='.onnx')[format]
    with pytest.raises(ValueError, match=message):
        export(model, tmp_path / f'm{suffix}', format, calibration=calibration)


@pytest.mark.parametrize(
    ('format', 'package'), [('onnx', 'onnxruntime'), ('openvino', 'nncf')]
)
def test_missing_package(model, tmp_path, monkeypatch, format, package):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        'importlib.util.find_spec',
        lambda name: None if name == package else find(name),
    )
    suffix = dict(onnx='.onnx', openvino='.xml')[format]
    with pytest.raises(ImportError, match=rf'{package}.*mmvovnet\[export\]'):
        export(model, tmp_path / f'm{suffix}', format, calibration=images(1))


def test_bfloat16_is_openvinos(tmp_path):
    path = tmp_path / 'model.onnx'
    path.touch()
    with pytest.raises(ValueError, match="bfloat16 is for OpenVINO's files"):
        load_exported(path, bfloat16=True)


@pytest.fixture
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


@pytest.mark.parametrize(('number', 'expected'), [(1, [0]), (9, [0, 100])])
def test_calibration_images(detector, config, number, expected):
    found = calibration_images(detector, config, number)
    assert [x.shape for x in found] == [(1, 3, 64, 128)] * len(expected)
    means = torch.tensor(detector.cfg.model.data_preprocessor.mean)
    stds = torch.tensor(detector.cfg.model.data_preprocessor.std)
    for x, value in zip(found, expected, strict=True):
        torch.testing.assert_close(x[0, :, 0, 0], (value - means) / stds)


def test_no_calibration_images(detector, config):
    with pytest.raises(ValueError, match='one calibration image or more: 0'):
        calibration_images(detector, config, 0)
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
