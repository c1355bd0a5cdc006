import numpy as np
import pytest
import torch

from mmvovnet.deploy import Exported
from mmvovnet.deploy.describe import describe_images
from mmvovnet.deploy.inference.detector import Detector, paste, prepare

INFO = dict(
    kind='detections',
    outputs=['boxes', 'scores', 'labels', 'image_ids'],
    mean=[10, 20, 30],
    std=[2, 4, 5],
    order='RGB',
    classes=['a', 'b', 'c'],
    scale=[64, 64],
    keep_ratio=True,
    pad_size=None,
    pad_divisor=1,
    pad_value=[0, 0, 0],
    divisor=32,
    iou_threshold=0.5,
    class_agnostic=False,
    max_per_img=2,
)


def test_preprocessing_and_scale():
    """A 100 x 200 image becomes 32 x 64; boxes come back in its pixels."""
    seen = []

    def run(images):
        seen.append(images)
        boxes = torch.tensor(
            [[0, 0, 1, 1], [4, 8, 16, 24], [60, 0, 70, 40]]
        ).float()
        scores = torch.tensor([0.1, 0.7, 0.9])
        return boxes, scores, torch.tensor([0, 1, 2]), torch.zeros(3)

    image = np.full((100, 200, 3), (30, 60, 90), np.uint8)  # BGR
    ((boxes, scores, labels),) = Detector(Exported(INFO, run))([image])
    assert seen[0].shape == (1, 3, 32, 64)
    expected = [(90 - 10) / 2, (60 - 20) / 4, 0.0]
    assert seen[0][0, :, 5, 5].tolist() == expected
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    assert labels.tolist() == [2, 1]
    assert boxes.tolist() == [[187.5, 0, 200, 100], [12.5, 25, 50, 75]]


@pytest.mark.parametrize(
    'class_agnostic, expected', [(False, [0.9, 0.7]), (True, [0.9])]
)
def test_suppression(class_agnostic, expected):
    def run(images):
        boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 11.0]])[None]
        scores = torch.tensor([[0.9, 0.8], [0.0, 0.7]])[None]
        return boxes, scores

    outputs = ['all_boxes', 'all_scores']
    info = {**INFO, 'kind': 'boxes', 'outputs': outputs}
    info['class_agnostic'] = class_agnostic
    image = np.zeros((64, 64, 3), np.uint8)
    ((_, scores, labels),) = Detector(Exported(info, run))([image])
    assert scores.tolist() == pytest.approx(expected)
    assert labels.tolist() == [0, 1][: len(expected)]


@pytest.mark.parametrize(
    'keep_ratio, pad, shape, inside',
    [
        (False, {}, (64, 64), (64, 64)),
        (True, dict(size=(96, 80)), (96, 96), (80, 96)),
        (True, dict(size_divisor=20), (64, 96), (40, 80)),
    ],
)
@pytest.mark.parametrize('order', ['RGB', 'BGR', 'BGRA', 'grey'])
def test_images_are_prepared_as_mmdetection_does(
    order, keep_ratio, pad, shape, inside
):
    from mmcv.transforms import Compose
    from mmdet.models import DetDataPreprocessor
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    channels = {'BGRA': 4, 'grey': 1}.get(order, 3)
    value = (114,) * channels if channels > 1 else 114
    steps = [
        dict(type='LoadImageFromFile', backend_args=None),
        dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=keep_ratio),
        *([dict(pad, type='Pad', pad_val=dict(img=value))] if pad else []),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=('img_shape', 'scale_factor')),
    ]
    cfg = Config(
        dict(
            model=dict(backbone=dict(in_channels=channels)),
            test_dataloader=dict(dataset=dict(pipeline=steps)),
        )
    )
    info = {**INFO, **describe_images(cfg), 'order': order}
    info.update({k: INFO[k][:channels] for k in ('mean', 'std')})
    preprocessor = DetDataPreprocessor(
        INFO['mean'][:channels],
        INFO['std'][:channels],
        bgr_to_rgb=order == 'RGB',
        pad_size_divisor=32,
    )
    if order == 'BGRA':  # mmengine normalises one channel or three
        preprocessor = DetDataPreprocessor(pad_size_divisor=32)
        info.update(mean=[0] * 4, std=[1] * 4)
    image = np.random.default_rng(0).integers(0, 256, (40, 80, channels))
    image = image.astype(np.uint8)
    if order == 'grey':
        image = image[..., 0]
    with DefaultScope.overwrite_default_scope('mmdet'):
        load = dict(type='LoadImageFromNDArray')
        rest = [s for s in steps[1:] if 'Annotations' not in s['type']]
        data = Compose([load, *rest])(dict(img=image))
    expected = preprocessor(
        dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    )
    pixels, found, factors = prepare(image, info)
    sample = expected['data_samples'][0]
    assert pixels.shape == (channels, *shape)
    assert found == inside == sample.img_shape
    assert factors == sample.scale_factor
    torch.testing.assert_close(
        torch.from_numpy(pixels), expected['inputs'][0], rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize(
    'steps, said',
    [
        ([dict(type='Flip')], r"'Flip'.* in this order"),
        ([dict(type='mine.Resize', scale=(64, 64))], r"'mine\.Resize'"),
        ([dict(type='Resize', scale=(64, 64), backend='pillow')], 'backend='),
        ([], 'needs a step Resize'),
    ],
)
def test_pipelines_that_a_file_cannot_carry(steps, said):
    from mmengine.config import Config

    pipeline = [dict(type='LoadImageFromFile'), *steps]
    loader = dict(dataset=dict(pipeline=pipeline))
    with pytest.raises(ValueError, match=said):
        describe_images(Config(dict(test_dataloader=loader)))


def test_files_that_cannot_detect_are_refused():
    info = {**INFO, 'kind': 'raw'}
    with pytest.raises(ValueError, match="outputs are 'raw'; .*'detections'"):
        Detector(Exported(info, print))
    old = dict(kind='boxes', outputs=[], scale=[64, 64])  # of 0.1.0
    with pytest.raises(ValueError, match=r'metadata=describe_model\(model\)'):
        Detector(Exported(old, print))


@pytest.mark.parametrize('kind', ['boxes', 'detections'])
def test_neighbours_of_one_size_run_together(kind):
    """A batch finds in each image what a call for it finds."""
    runs = []

    def run(images):
        runs.append(len(images))
        means = images.mean(axis=(1, 2, 3))
        scores = (means / means.max() / 2)[:, None, None]
        boxes = np.tile(np.float32([8, 8, 16, 24]), (len(images), 1, 1))
        if kind == 'boxes':
            return boxes, scores
        order = np.arange(len(images))[::-1]
        return boxes[order, 0], means[order], order, order

    names = {'boxes': ['all_boxes', 'all_scores']}.get(kind, INFO['outputs'])
    detect = Detector(Exported({**INFO, 'kind': kind, 'outputs': names}, run))
    sizes = [(64, 64), (128, 128), (64, 128), (64, 64)]
    images = [
        np.full((*size, 3), 50 * (i + 1), np.uint8)
        for i, size in enumerate(sizes)
    ]
    together = detect(images)
    assert runs == [2, 1, 1]
    assert [len(found[0]) for found in together] == [1] * 4
    for image, found in zip(images, together, strict=True):
        assert found[0].tolist() == detect([image])[0][0].tolist()


def test_paste_is_mmdets():
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    boxes = torch.tensor(
        [[3.5, 4, 30, 25.25], [-9, 0, 70, 48], [40, 9, 41, 60]]
    )
    masks = torch.rand(3, 28, 28)
    expected, _ = _do_paste_mask(masks[:, None], boxes, 48, 64, False)
    pasted = paste(masks.numpy(), boxes.numpy(), 48, 64)
    assert (pasted == (expected >= 0.5).numpy()).all()
