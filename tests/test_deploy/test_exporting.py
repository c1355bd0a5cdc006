import copy
import json
import os

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmvovnet import VoVNet
from mmvovnet.apis import build_model
from mmvovnet.deploy import (
    SUFFIXES,
    Exported,
    describe_model,
    export,
    load_exported,
)
from mmvovnet.deploy.inference.detector import Detector
from mmvovnet.deploy.outputs import Boxes

from .small import ARCH, settle, small_config

NEEDS = {'onnx': 'onnxruntime', 'openvino': 'openvino'}
SIZE = (64, 96)


@pytest.fixture(params=[*SUFFIXES])
def form(request):
    pytest.importorskip(NEEDS.get(request.param, 'torch'))
    if request.param == 'onnx':
        pytest.importorskip('onnxscript')
    return request.param


def small_detector(tmp_path, name='fcos_vovnet27-slim_digits.py'):
    """A detector that finds something, built from its config."""
    pytest.importorskip('mmdet')
    cfg = small_config(f'demo/{name}')
    cfg.model.test_cfg.score_thr = 0.7
    cfg.dump(tmp_path / name)
    model = settle(build_model(tmp_path / name))
    head = model.bbox_head
    last = head.conv_cls if hasattr(head, 'conv_cls') else head.retina_cls
    nn.init.normal_(last.weight, std=0.06)  # scores that differ, below 1
    nn.init.normal_(last.bias, std=0.3)
    return model


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    return small_detector(tmp_path_factory.mktemp('detector'))


@pytest.fixture
def detector(built):
    return copy.deepcopy(built)


def normalise(model, image):
    """One image as the model's own preprocessor gives it."""
    inputs = torch.from_numpy(image.transpose(2, 0, 1).copy())
    return model.data_preprocessor(dict(inputs=[inputs]))['inputs']


def assert_same(exported, images, expected):
    outputs = exported(images).values()
    for actual, wanted in zip(outputs, expected, strict=True):
        assert (actual - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_backbone(backbone, form, request, tmp_path, photographs):
    if form == 'onnx':
        path = request.getfixturevalue('onnx_backbone')
    else:
        path = tmp_path / f'model{SUFFIXES[form]}'
        export(backbone, path, form, metadata=dict(mean=[1.5]), size=SIZE)
    exported = load_exported(path)
    assert exported.metadata == dict(
        mean=[1.5], kind='raw', outputs=['stage0', 'stage1']
    )
    images = np.stack(photographs)[:, 50:147, 80:203].transpose(0, 3, 1, 2)
    images = torch.from_numpy(images / 255).float()
    with torch.no_grad():
        assert_same(exported, images, backbone(images))
    parts = {path.name} | ({'model.bin'} if form == 'openvino' else set())
    assert {p.name for p in path.parent.iterdir()} == parts


def assert_detects_as_mmdet(model, path, photographs):
    from mmdet.apis import inference_detector

    detect = Detector(load_exported(path))
    for photograph in photographs:
        image = photograph[:400, :400]  # no padding
        ((boxes, scores, labels),) = detect([image])
        expected = inference_detector(model, image).pred_instances
        assert len(expected) > 5
        assert (labels == expected.labels.numpy()).all()
        np.testing.assert_allclose(scores, expected.scores, 1e-4, 1e-5)
        np.testing.assert_allclose(boxes, expected.bboxes, 1e-4, 0.01)


def test_boxes(detector, tmp_path, photographs):
    path = tmp_path / 'detector.torchscript'
    written = export(
        detector,
        path,
        'torchscript',
        metadata=describe_model(detector),
        size=SIZE,
    )
    assert written['outputs'] == ['all_boxes', 'all_scores']
    assert_detects_as_mmdet(detector, path, photographs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'class_agnostic'),
    [('fcos', False), ('fcos', True), ('retinanet', False)],
)
def test_detections(name, class_agnostic, tmp_path, photographs):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    model = small_detector(tmp_path, f'{name}_vovnet27-slim_digits.py')
    model.bbox_head.test_cfg.nms.class_agnostic = class_agnostic
    path = tmp_path / 'model.onnx'
    info = describe_model(model)
    written = export(model, path, metadata=info, size=SIZE)
    assert written == load_exported(path).metadata
    assert written['kind'] == 'detections'
    assert written['outputs'] == ['boxes', 'scores', 'labels', 'image_ids']
    assert_detects_as_mmdet(model, path, photographs)

    # A batch gives what its images give.
    images = torch.cat(
        [normalise(model, p[:64, :96]) for p in reversed(photographs)]
    )
    exported = load_exported(path)
    both = exported(images)
    for i in range(2):
        alone = exported(images[i : i + 1])
        here = both['image_ids'] == i
        assert here.any()
        torch.testing.assert_close(both['boxes'][here], alone['boxes'])
    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert json.loads(props['mmvovnet'])['mean'] == info['mean']


@pytest.mark.slow
@pytest.mark.parametrize('outputs', ['raw', 'boxes'])
@pytest.mark.parametrize('name', ['fcos', 'retinanet'])
def test_every_format_of_a_detector(
    form, name, outputs, tmp_path, photographs
):
    model = small_detector(tmp_path, f'{name}_vovnet27-slim_digits.py')
    path = tmp_path / f'model{SUFFIXES[form]}'
    written = export(
        model, path, form, outputs, describe_model(model), size=SIZE
    )
    if outputs == 'boxes':
        assert_detects_as_mmdet(model, path, photographs)
    else:
        kinds = ('scores', 'boxes', 'factors')[: 3 if name == 'fcos' else 2]
        names = [f'{kind}{i}' for kind in kinds for i in range(3)]
        assert written['outputs'] == names
        images = normalise(model, photographs[1])
        with torch.no_grad():
            levels = model(images, mode='tensor')
        assert_same(
            load_exported(path), images, [t for kind in levels for t in kind]
        )


def test_classifier(tmp_path, photographs):
    pytest.importorskip('mmpretrain')
    cfg = small_config('demo/vovnet27-slim_digits.py')
    cfg.dump(tmp_path / 'config.py')
    model = settle(build_model(tmp_path / 'config.py'))
    info = describe_model(model)
    assert info['order'] == 'grey'
    assert len(info['mean']) == len(info['std']) == 1
    path = tmp_path / 'model.torchscript'
    written = export(model, path, 'torchscript', metadata=info, size=SIZE)
    assert written['outputs'] == ['logits']
    init_default_scope('mmpretrain')
    images = np.stack(photographs)[:, None, :128, :96, 0] / 255
    images = torch.from_numpy(images).float()
    with torch.no_grad():
        assert_same(
            load_exported(path), images, [model(images, mode='tensor')]
        )


def test_describe(detector):
    info = describe_model(detector)
    images = detector.cfg.model.data_preprocessor
    assert info == dict(
        classes=[str(digit) for digit in range(10)],
        mean=images.mean,
        std=images.std,
        order='RGB',
        divisor=32,
        scale=[128, 128],
        keep_ratio=True,
        pad_size=None,
        pad_divisor=1,
        pad_value=[0, 0, 0],
    )


@pytest.mark.parametrize(
    ('path', 'options', 'message'),
    [
        ('m.onnx', dict(format='caffe'), "no name for the format 'caffe'"),
        ('m.pt', dict(format='torchscript'), "'m.pt' is no name .*'.torchscr"),
        (
            'm.torchscript',
            dict(format='torchscript', outputs='detections'),
            r"\['raw', 'boxes'\], not 'detections'",
        ),
        ('m.onnx', dict(outputs='masks'), "'detections'.*, not 'masks'"),
        ('m.onnx', dict(calibration=[]), 'one calibration image or more'),
        (
            'm.torchscript',
            dict(format='torchscript', calibration=[torch.rand(1)]),
            "onnx and openvino, not 'torchscript'",
        ),
        (
            'm.torchscript',
            dict(format='torchscript', outputs='boxes'),
            "a VoVNet has other outputs .* outputs='raw'",
        ),
    ],
)
def test_bad_arguments(path, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        export(VoVNet(arch=ARCH).eval(), path, **options)
    assert os.listdir(tmp_path) == []


def test_missing_package(tmp_path, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'onnxruntime: pip .*\[export\]'):
        export(nn.Identity(), tmp_path / 'model.onnx')


def test_weights_overwrite_no_file_of_others(tmp_path):
    """OpenVINO's weights may replace those of an earlier export alone."""
    pytest.importorskip('openvino')
    other = tmp_path / 'model.bin'
    other.write_bytes(b'data')
    with pytest.raises(ValueError, match=r"model.bin' would overwrite"):
        export(VoVNet(arch=ARCH).eval(), tmp_path / 'model.xml', 'openvino')
    assert other.read_bytes() == b'data'
    assert os.listdir(tmp_path) == ['model.bin']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda map_: map_ * float('nan'), "computes another 'stage0'"),
        (lambda map_: map_ * 1.002, "computes another 'stage0'"),
        (lambda map_: map_[..., :1], r'\[1, 16, 16, 1\].*\[1, 16, 16, 24\]'),
        (
            lambda map_: map_.flip(0),
            r'for images of shape \(2, 3, 132, 132\)',
        ),
    ],
)
def test_unlike_file_is_not_kept(
    backbone, change, message, tmp_path, monkeypatch
):
    call = Exported.__call__

    def changed(exported, images):
        return {k: change(v) for k, v in call(exported, images).items()}

    monkeypatch.setattr(Exported, '__call__', changed)
    path = tmp_path / 'model.torchscript'
    with pytest.raises(RuntimeError, match=message):
        export(backbone, path, 'torchscript', size=SIZE)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    'change, said',
    [
        (dict(nms=dict(type='soft_nms', iou_threshold=0.5)), "'soft_nms'"),
        (dict(min_bbox_size=3), 'min_bbox_size=3'),
    ],
)
def test_other_postprocessing_is_refused(change, said, detector):
    detector.bbox_head.test_cfg.update(change)
    with pytest.raises(ValueError, match=said):
        Boxes(detector)


def test_a_head_that_decodes_otherwise_is_refused(detector):
    head = type(detector.bbox_head)
    other = type('Other', (head,), {'predict_by_feat': print})
    detector.bbox_head.__class__ = other
    with pytest.raises(ValueError, match=r"boxes of a Other .*'raw'"):
        Boxes(detector)


def test_no_level_has_more_boxes_than_nms_pre(detector):
    """As in MMDetection, the best of all priors and classes of a level."""
    detector.bbox_head.test_cfg.update(
        nms_pre=5, score_thr=0.05, min_bbox_size=-1
    )
    with torch.no_grad():
        _, scores = Boxes(detector)(torch.rand(2, 3, *SIZE))
    levels = scores.split([8 * 12, 4 * 6, 2 * 3], dim=2)
    assert [(x > 0).sum((1, 2)).tolist() for x in levels] == [[5, 5]] * 3
