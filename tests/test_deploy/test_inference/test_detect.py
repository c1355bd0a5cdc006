import numpy as np
import pytest
import torch

from mmvovnet.deploy import Exported
from mmvovnet.deploy.describe import build_pipeline
from mmvovnet.deploy.inference.detect import (
    Detector,
    FileDetector,
    outputs,
    prepare,
)

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


def test_an_exported_detector_is_tested_on_the_images_of_a_batch(tmp_path):
    """A metric finds its boxes, in the pixels of each image's file."""
    import mmcv
    from mmengine.structures import BaseDataElement

    def run(images):
        box, one = torch.tensor([[8.0, 8, 16, 24]]), torch.tensor([1])
        return box, images.mean()[None], one, torch.zeros(1)

    samples = []
    for name, size in dict(a=64, b=128).items():
        path = str(tmp_path / f'{name}.png')
        mmcv.imwrite(np.full((size, size, 3), 99, np.uint8), path)
        samples.append(BaseDataElement(metainfo=dict(img_path=path)))
    model = FileDetector(Detector(Exported(INFO, run))).eval()
    found = model.test_step(dict(data_samples=samples))
    for sample, scale in zip(found, (1, 2), strict=True):
        expected = [[8 * scale, 8 * scale, 16 * scale, 24 * scale]]
        assert sample.pred_instances.bboxes.tolist() == expected
        assert sample.pred_instances.labels.tolist() == [1]
        assert len(sample.pred_instances.scores) == 1


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
    boxes, scores, labels = Detector(Exported(INFO, run))(image)
    assert seen[0].shape == (1, 3, 32, 64)
    expected = torch.tensor([(90 - 10) / 2, (60 - 20) / 4, 0.0])
    torch.testing.assert_close(seen[0][0, :, 5, 5], expected)
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    assert labels.tolist() == [2, 1]
    torch.testing.assert_close(
        boxes,
        torch.tensor(
            [[187.5, 0, 200, 100], [12.5, 25, 50, 75]], dtype=torch.float
        ),
    )


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
    _, scores, labels = Detector(Exported(info, run))(image)
    assert scores.tolist() == pytest.approx(expected)
    assert labels.tolist() == [0, 1][: len(expected)]


@pytest.mark.parametrize(
    'steps, shape, inside',
    [
        (dict(keep_ratio=False), (64, 64), (64, 64)),
        (dict(pad_size=[96, 80], pad_value=[114] * 3), (96, 96), (80, 96)),
        (dict(pad_divisor=20, pad_value=[114] * 3), (64, 96), (40, 80)),
    ],
)
@pytest.mark.parametrize('order', ['RGB', 'BGR', 'BGRA', 'grey'])
def test_images_are_prepared_as_mmdetection_does(order, steps, shape, inside):
    """By the pipeline that a published file builds of the same steps."""
    from mmcv.transforms import Compose
    from mmdet.models import DetDataPreprocessor
    from mmengine.registry import DefaultScope

    channels = {'BGRA': 4, 'grey': 1}.get(order, 3)
    info = {**INFO, **steps, 'order': order, 'color_type': 'color'}
    info['pad_value'] = info['pad_value'][:1] * channels
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
        load, *rest = build_pipeline(info)
        load.update(type='LoadImageFromNDArray')
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


def test_raw_outputs_are_refused():
    info = {**INFO, 'kind': 'raw'}
    with pytest.raises(ValueError, match="outputs are 'raw'; .*'detections'"):
        Detector(Exported(info, print))


@pytest.mark.parametrize(
    'images, expected',
    [
        (['a/1.png', 'a/2.png'], ['out/1.png', 'out/2.png']),
        (['a/1.png', 'b/1.png'], ['out/a/1.png', 'out/b/1.png']),
    ],
)
def test_a_picture_for_each_image(images, expected):
    assert [path.as_posix() for path in outputs(images, 'out')] == expected


@pytest.mark.parametrize(
    'images, said',
    [
        (['a/1.png'], 'would overwrite'),
        (['b/1.png', 'b/../b/1.png'], 'is given twice'),
    ],
)
def test_no_image_is_overwritten(images, said):
    with pytest.raises(ValueError, match=said):
        outputs(images, 'a')
