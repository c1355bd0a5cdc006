import subprocess
import sys
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmengine.registry import DefaultScope

ROOT = Path(__file__).parents[2]
pytest.importorskip('pytorch_grad_cam', reason='grad-cam is not installed')
from mmvovnet.analysis.visualize import draw, explain, field_size  # noqa: E402

# Random weights are never sure: without a threshold they find something.
UNSURE = 'test_cfg=dict(score_thr=0.0)'
ONE_STAGE = f'model = dict({UNSURE})'
CENTERMASK = 'model = dict(test_cfg=dict(bbox_head=dict(score_thr=0.0)))'
TWO_STAGE = """
model = dict(test_cfg=dict(rcnn=dict(score_thr=0.0)))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='PackDetInputs'),
]))
"""


@pytest.fixture(autouse=True)
def no_scope():
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    pixels = np.random.default_rng(0).integers(256, size=(128, 70, 3))
    mmcv.imwrite(pixels.astype(np.uint8), str(path))
    return path


def see(tmp_path, image, base, changes=''):
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = '{ROOT}/configs/{base}.py'\n{changes}")
    torch.manual_seed(0)  # of the weights
    return explain(image, config)


def drawing(explanation):
    figure = Figure()
    draw(figure, explanation)
    return {ax.get_title() for ax in figure.axes}


def check(explanation):
    height, width = explanation.image.shape[:2]
    assert 0 <= explanation.score <= 1
    assert 0 <= explanation.image.min() < explanation.image.max() <= 1
    assert explanation.cam.shape == (height, width)
    assert len(explanation.fields) == len(explanation.activations)
    for field in explanation.fields:
        assert field.shape == (height, width)
        assert np.isclose(field.sum(), 1, atol=1e-4)
    sizes = [field_size(field) for field in explanation.fields]
    assert sizes[0] <= sizes[-1]
    assert {
        'Grad-CAM',
        f'{explanation.label}, {explanation.score:.2f}',
        *(f'receptive field, 95 % in {size} px' for size in sizes),
    } <= drawing(explanation)


def test_a_classifier(tmp_path, image):
    explanation = see(tmp_path, image, 'demo/vovnet27-slim_digits')
    assert explanation.label in '0123456789'
    assert explanation.box == []
    assert [a.shape for a in explanation.activations] == [
        (8, 8),
        (4, 4),
        (2, 2),
        (1, 1),
    ]
    check(explanation)


@pytest.mark.parametrize(
    ('base', 'changes'),
    [
        ('demo/fcos_vovnet27-slim_digits', ONE_STAGE),
        ('demo/retinanet_vovnet27-slim_digits', ONE_STAGE),
        ('demo/centermask_vovnet27-slim_digits', CENTERMASK),
        (
            'faster_rcnn/faster-rcnn_vovnet19-slim-dw-ese_fpnlite_ms-3x_coco',
            TWO_STAGE,
        ),
    ],
)
def test_detectors(tmp_path, image, base, changes):
    explanation = see(tmp_path, image, base, changes)
    assert len(explanation.box) == 4
    assert len(explanation.activations) == 4
    assert explanation.cam.max() > 0
    check(explanation)
    # The image is padded on the right and below.
    expected = mmcv.bgr2rgb(mmcv.imread(image)) / 255
    assert np.allclose(explanation.image[:, :70], expected)
    assert not explanation.image[:, 70:].any()


def test_nothing_to_explain(tmp_path, image):
    base = 'demo/fcos_vovnet27-slim_digits'
    with pytest.raises(ValueError, match='finds nothing in this image'):
        see(
            tmp_path, image, base, 'model = dict(test_cfg=dict(score_thr=1.0))'
        )
    image.write_text('no image')
    with pytest.raises(ValueError, match='is not an image'):
        see(tmp_path, image, base)


def test_a_backbone_of_others(tmp_path, image):
    backbone = "dict(_delete_=True, type='MobileNetV2', out_indices=(2, 4, 6))"
    changes = f'model = dict(backbone={backbone})'
    with pytest.raises(ValueError, match='MobileNetV2 has no `stages`'):
        see(tmp_path, image, 'demo/fcos_vovnet27-slim_digits', changes)


def test_segmentation_is_refused_by_name(tmp_path, image):
    config = tmp_path / 'config.py'
    config.write_text("default_scope = 'mmseg'")
    with pytest.raises(ValueError, match='the picture is for .* of mmseg'):
        explain(image, config)


def test_the_tool_refuses_mistyped_paths(image):
    done = subprocess.run(
        [
            sys.executable,
            ROOT / 'tools/visualize.py',
            image,
            'no.py',
            'no.pth',
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "there is no file 'no.py'" in done.stderr
