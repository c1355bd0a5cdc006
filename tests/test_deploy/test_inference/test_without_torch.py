"""``mmvovnet detect`` with an ONNX file needs no PyTorch and no OpenMMLab."""

import json
import os
import subprocess
import sys
import venv
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmvovnet.deploy import describe_model, export
from mmvovnet.deploy.inference.detector import open_detector
from mmvovnet.deploy.inference.media import detect_media
from tests.test_deploy.test_exporting import small_detector

from .test_detector import INFO

ROOT = Path(__file__).parents[3]
# A box for each image, which depends on its mean.
DETECTOR = """
<ir_version: 8, opset_import: ["" : 18]>
detect (float[n, 3, h, w] images)
    => (float[n, 4] boxes, float[n] scores,
        int64[n] labels, int64[n] image_ids)
<int64[3] axes = {1, 2, 3}, float[1, 4] box = {2.0, 4.0, 60.0, 50.0},
 int64 zero = {0}, int64 one = {1}, int64[1] last = {1}>
{
    mean = ReduceMean <keepdims = 0> (images, axes)
    scores = Sigmoid (mean)
    column = Unsqueeze (scores, last)
    boxes = Mul (column, box)
    counts = Shape <start = 0, end = 1> (images)
    count = Squeeze (counts)
    image_ids = Range (zero, count, one)
    labels = Mul (image_ids, zero)
}
"""
REFUSED = """
import sys

class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] in (
            'PIL', 'mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'pycocotools',
            'rich', 'torch', 'torchvision', 'yaml',
        ):
            raise ImportError(f'{name} is refused')

sys.meta_path.insert(0, Refuse)
from mmvovnet.cli import main
main()
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('images').mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    cv2.imwrite('images/a.png', noise)
    cv2.imwrite('images/b.jpg', noise[:64, :80] // 2 + 99)
    return 'images'


def detect_here(model, images):
    detect, classes, _ = open_detector(model)
    return detect_media(detect, classes, images, 'here', 0.1)


def test_nothing_but_numpy_opencv_and_onnxruntime(images):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    model = onnx.parser.parse_model(DETECTOR)
    info = {**INFO, 'divisor': 1, 'classes': ['猫', 'b', 'c']}
    info.update(mean=[110, 120, 130], std=[60, 60, 60])
    texts = {'mmvovnet': json.dumps(info), 'author': 'of another program'}
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, 'model.onnx')

    Path('more').mkdir()
    data = bytearray(Path('images/a.png').read_bytes())
    data[16:24] = (30_000).to_bytes(4, 'big') * 2  # IHDR, with its checksum
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    Path('more/large.png').write_bytes(data)

    done = subprocess.run(
        [sys.executable, '-c', REFUSED, 'detect', images, 'more', '--model',
         'model.onnx', '--out-json', 'found.json', '--score-thr', '0.1'],
        text=True, capture_output=True,
    )  # fmt: skip
    assert "'more/large.png' has too many pixels" in done.stderr
    assert done.stderr.endswith('could not be read: more/large.png\n')
    assert 'detections/images/a.png: 1 objects' in done.stdout
    names = ['images/a.png', 'images/b.jpg']
    expected, unread = detect_here('model.onnx', names)
    assert json.loads(Path('found.json').read_text()) == expected
    assert [each['image_id'] for each in expected] == names
    assert not unread
    for name in ('a.png', 'b.jpg'):
        picture = cv2.imread(f'detections/images/{name}')
        assert (picture == cv2.imread(f'here/{name}')).all()


@pytest.mark.slow
def test_an_environment_without_torch(images, tmp_path):
    """pip installs `mmvovnet[runtime]`, by which a detector runs as here."""
    pytest.importorskip('onnxruntime')
    model = small_detector(tmp_path)
    export(model, 'fcos.onnx', metadata=describe_model(model))
    names = ['images/a.png', 'images/b.jpg']
    expected, _ = detect_here('fcos.onnx', names)
    assert len(expected) > 5

    def run(*command, **options):
        done = subprocess.run(
            list(map(str, command)),
            **options,
            env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
            text=True,
            capture_output=True,
        )
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d',
        tmp_path, cwd=ROOT)  # fmt: skip
    (wheel,) = tmp_path.glob('*.whl')
    venv.create('env')
    python = Path('env/bin/python')
    run(sys.executable, '-m', 'pip', '--python', python, 'install',
        f'{wheel}[runtime]')  # fmt: skip
    installed = run(sys.executable, '-m', 'pip', '--python', python, 'list')
    assert 'onnxruntime' in installed
    assert not {'torch', 'mmengine', 'mmcv'} & set(installed.split())
    run('env/bin/mmvovnet', 'detect', images, '--model', 'fcos.onnx',
        '--out-json', 'found.json', '--score-thr', '0.1')  # fmt: skip
    found = json.loads(Path('found.json').read_text())
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.pop('bbox') == pytest.approx(other.pop('bbox'), abs=1e-3)
        assert one.pop('score') == pytest.approx(other.pop('score'), abs=1e-5)
        assert one == other
