"""CenterMask in ONNX against MMDetection."""

import numpy as np
import pytest
import torch

from mmvovnet.deploy import export, load_exported
from mmvovnet.deploy.detections import find_masks
from mmvovnet.deploy.inference.detector import Detector, paste
from mmvovnet.deploy.outputs import Boxes
from tests.test_models.test_centermask import small, test_panoptic


def test_masks_are_the_roi_heads():
    """Its RoI align is torchvision's, and takes each box from its level."""
    model = small.trained()
    inputs, samples = small.batch(model, shape=(3, 64, 96)).values()
    with torch.no_grad():
        maps = model.extract_feat(inputs)
        results = model.predict(inputs, samples, rescale=False)
        found = [sample.pred_instances for sample in results]
        ids = torch.arange(2).repeat_interleave(50)
        parts = [
            torch.cat([f[key] for f in found])
            for key in ('bboxes', 'scores', 'labels')
        ]
        masks, scores = find_masks(model.roi_head, maps[:3], *parts, ids)
    expected = torch.cat([f.mask_scores for f in found])
    torch.testing.assert_close(scores, expected)
    size = found[0].masks.shape[1:]
    pasted = paste(masks.numpy(), parts[0].numpy(), *size)
    wanted = torch.cat([f.masks for f in found]).numpy()
    assert (pasted != wanted).mean() < 1e-4


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    pytest.importorskip('onnxruntime')
    model = small.trained()
    path = tmp_path_factory.mktemp('onnx') / 'centermask.onnx'
    info = dict(
        mean=[110.0, 120.0, 130.0],
        std=[50.0, 60.0, 70.0],
        order='BGR',
        scale=[256, 192],
        keep_ratio=True,
        pad_size=None,
        pad_divisor=1,
        pad_value=[0, 0, 0],
        divisor=32,
        max_per_img=50,
        iou_threshold=0.6,
        classes=['a', 'b', 'c'],
    )
    export(model, path, metadata=info)
    return model, load_exported(path)


@pytest.mark.slow
def test_onnx_equals_mmdetection(exported):
    model, file = exported
    assert file.metadata['outputs'] == [
        'boxes', 'scores', 'labels', 'image_ids', 'masks', 'mask_scores',
    ]  # fmt: skip
    image = np.random.default_rng(0).integers(256, size=(192, 256, 3))
    image = image.astype(np.uint8)
    ((boxes, scores, labels, masks),) = Detector(file)([image])
    data = dict(
        inputs=[torch.from_numpy(image.transpose(2, 0, 1).copy())],
        data_samples=[small.batch(model)['data_samples'][0]],
    )
    data['data_samples'][0].set_metainfo(
        dict(
            ori_shape=(192, 256), img_shape=(192, 256), scale_factor=(1.0, 1.0)
        )
    )
    with torch.no_grad():
        (sample,) = model.test_step(data)
    wanted = sample.pred_instances
    wanted = {key: value.numpy() for key, value in wanted.items()}
    np.testing.assert_allclose(scores, wanted['scores'], 1e-4, 1e-5)
    np.testing.assert_allclose(boxes, wanted['bboxes'], 1e-3, 1e-2)
    assert (labels == wanted['labels']).all()
    assert masks.shape == wanted['masks'].shape
    assert (masks != wanted['masks']).mean() < 1e-3


@pytest.mark.slow
def test_no_detections_in_onnx(exported):
    _, file = exported
    out = file(torch.full((1, 3, 64, 64), -1e4))
    assert len(out['masks']) == len(out['mask_scores']) == len(out['boxes'])


def test_another_extractor_is_refused():
    model = small.trained()
    model.roi_head.mask_roi_extractor = torch.nn.Identity()
    with pytest.raises(ValueError, match="not a Identity; use outputs='boxes"):
        Boxes(model, masks=True)


def test_panoptic_has_no_boxes_alone(tmp_path):
    model = test_panoptic.build(trained=True)
    with pytest.raises(ValueError, match="Panoptic.* other outputs .*'raw'"):
        export(model, tmp_path / 'a.onnx')
