import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from . import small


def total(losses):
    parts = [v if isinstance(v, list) else [v] for v in losses.values()]
    return sum(x.sum() for part in parts for x in part)


def check_step(model, inputs, samples):
    """Finite losses, and a gradient for every parameter, as DDP needs it."""
    losses = model.loss(inputs, samples)
    loss = total(losses)
    assert torch.isfinite(loss)
    loss.backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert missing == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    return losses


def without(part):
    return small.config()['roi_head'] | part


def test_losses():
    model = small.build().train()
    losses = check_step(model, *small.batch(model).values())
    assert sorted(losses) == [
        'loss_bbox',
        'loss_centerness',
        'loss_cls',
        'loss_mask',
        'loss_mask_iou',
    ]
    assert all(loss > 0 for loss in losses.values())


@pytest.mark.parametrize('num_items', [(0, 2), (0, 0)])
def test_images_without_objects(num_items):
    model = small.build().train()
    losses = check_step(model, *small.batch(model, num_items).values())
    assert (losses['loss_mask'] > 0) == (sum(num_items) > 0)


def test_one_class():
    model = small.build(num_classes=1).train()
    inputs, samples = small.batch(model, num_classes=2).values()
    for sample in samples:
        sample.gt_instances.labels.zero_()
    check_step(model, inputs, samples)
    model = small.trained(num_classes=1)
    assert len(model.predict(inputs, samples)[0].pred_instances.masks)


@pytest.mark.parametrize('kind', ['empty', 'absent'])
def test_objects_without_a_mask_train_the_boxes(kind):
    model = small.build().train()
    inputs, samples = small.batch(model).values()
    with_masks = model.loss(inputs, samples)
    truth = samples[0].gt_instances
    if kind == 'absent':
        del truth.masks
    else:
        truth.masks.masks[:] = 0
    losses = check_step(model, inputs, samples)
    for name in ('loss_cls', 'loss_bbox', 'loss_centerness'):
        assert losses[name] == with_masks[name]
    # those of the other image are left
    others = [samples[1]] * 2
    inputs = inputs[[1, 1]]
    torch.testing.assert_close(
        model.loss(inputs, others)['loss_mask'], losses['loss_mask']
    )


def test_boxes_without_an_area():
    model = small.build().train()
    inputs, samples = small.batch(model).values()
    samples[0].gt_instances.bboxes[:] = torch.tensor([9.0, 9, 9, 30])
    losses = check_step(model, inputs, samples)
    assert losses['loss_mask'] > 0  # of the other image


def test_no_proposals_in_one_image(monkeypatch):
    """The true boxes are left to train the masks."""
    model = small.trained().train()
    inputs, samples = small.batch(model).values()
    propose = model._propose

    def only_in_the_second(*args):
        first, second = propose(*args)
        assert len(first) and len(second)
        return [first[:0], second]

    monkeypatch.setattr(model, '_propose', only_in_the_second)
    check_step(model, inputs, samples)


def test_proposals_are_the_detections():
    """mmdet's FCOS gives distances in strides while it trains."""
    model = small.trained()
    inputs, samples = small.batch(model).values()
    metas = [sample.metainfo for sample in samples]
    with torch.no_grad():
        maps = model.extract_feat(inputs)
        found = model.bbox_head.predict(maps, samples)
        model.bbox_head.train()
        proposals = model._propose(model.bbox_head(maps), metas)
    for ours, theirs in zip(proposals, found, strict=True):
        assert len(ours) == 100 and len(theirs) == 50
        torch.testing.assert_close(ours.bboxes[:50], theirs.bboxes)
        assert not ours.bboxes.requires_grad


def test_true_boxes_are_proposals_too(monkeypatch):
    model = small.build().train()  # finds nothing yet
    inputs, samples = small.batch(model).values()
    seen = []
    forward = model.roi_head._mask_forward

    def spy(x, rois):
        seen.append(rois)
        return forward(x, rois)

    monkeypatch.setattr(model.roi_head, '_mask_forward', spy)
    model.loss(inputs, samples)
    (rois,) = seen
    truth = torch.cat([s.gt_instances.bboxes for s in samples])
    torch.testing.assert_close(rois[:, 1:].sort(0)[0], truth.sort(0)[0])


def test_areas_are_those_of_the_images_without_padding(monkeypatch):
    model = small.trained()
    shapes = [(3, 40, 96), (3, 64, 70)]
    data = small.batch(model, shape=(3, 64, 96))
    for sample, (_, height, width) in zip(
        data['data_samples'], shapes, strict=True
    ):
        sample.set_metainfo(dict(img_shape=(height, width)))
    seen = []
    extractor = model.roi_head.mask_roi_extractor
    rule = extractor.map_roi_levels

    def spy(rois, image_areas):
        seen.append((rois[:, 0], image_areas))
        return rule(rois, image_areas)

    monkeypatch.setattr(extractor, 'map_roi_levels', spy)
    model.predict(*data.values())
    model.loss(*data.values())
    assert len(seen) == 2
    for image, areas in seen:
        expected = torch.where(image == 0, 40 * 96, 64 * 70)
        assert areas.equal(expected.float())


def test_scores():
    """A box: the root of class times centerness; a mask: times its IoU."""
    model = small.trained()
    inputs, samples = small.batch(model).values()
    with torch.no_grad():
        maps = model.extract_feat(inputs)
        plain = model.bbox_head.predict(maps, samples)
        results = model.predict(inputs, samples, rescale=False)
        found = [sample.pred_instances for sample in results]
        for boxes, result in zip(plain, found, strict=True):
            assert result.bboxes.equal(boxes.bboxes)
            assert result.scores.equal(boxes.scores.sqrt())
        rois = torch.cat(
            [found[0].bboxes.new_zeros(50, 1), found[0].bboxes], 1
        )
        areas = torch.tensor([64.0 * 96])
        out = model.roi_head._mask_forward((*maps, areas), rois)
        index = torch.arange(50), found[0].labels
        ious = model.roi_head.mask_iou_head(
            out['mask_feats'], out['mask_preds'][index]
        )[index]
        expected = found[0].scores * ious
    torch.testing.assert_close(found[0].mask_scores, expected)
    assert len(found[0].masks) == 50
    assert found[0].masks.dtype == torch.bool and found[0].masks.any()


@pytest.mark.parametrize('rescale', [True, False])
def test_masks_in_the_original_image(rescale):
    model = small.trained()
    inputs, samples = small.batch(model).values()
    for sample in samples:
        sample.set_metainfo(dict(ori_shape=(32, 48), scale_factor=(2.0, 2.0)))
    with torch.no_grad():
        result = model.predict(inputs, samples, rescale)[0].pred_instances
    size = (32, 48) if rescale else (64, 96)
    assert result.masks.shape == (50, *size)
    bounds = result.bboxes.new_tensor([size[1], size[0]] * 2)
    assert (result.bboxes <= bounds).all()


@pytest.mark.parametrize('images', [(0,), (0, 1)], ids=['one', 'all'])
def test_no_detections(images):
    model = small.trained()
    inputs, samples = small.batch(model).values()
    predict = model.bbox_head.predict

    def nothing(*args, **kwargs):
        found = predict(*args, **kwargs)
        return [f[:0] if i in images else f for i, f in enumerate(found)]

    model.bbox_head.predict = nothing
    for i, sample in enumerate(model.predict(inputs, samples)):
        found = sample.pred_instances
        count = 0 if i in images else 50
        assert found.masks.shape == (count, 64, 96)
        assert len(found.mask_scores) == len(found.scores) == count


def metric(tmp_path, *found):
    """COCO's mAP of boxes and masks: each image has one object."""
    evaluator = CocoMetric(
        metric=['bbox', 'segm'], outfile_prefix=str(tmp_path / 'found')
    )
    evaluator.dataset_meta = dict(classes=['digit'])
    shape = (64, 64)
    for number, instances in enumerate(found):
        sample = DetDataSample(
            metainfo=dict(img_id=number, ori_shape=shape),
            pred_instances=instances,
        ).to_dict()
        mask = np.zeros(shape, np.uint8, order='F')
        mask[8:40, 8:40] = 1
        sample['instances'] = [
            dict(
                bbox_label=0,
                bbox=[8, 8, 40, 40],
                mask=coco_mask.encode(mask),
                ignore_flag=0,
            )
        ]
        evaluator.process({}, [sample])
    return evaluator.evaluate(len(found))


def instances(rows):
    """From (box, score, mask score); a mask fills its box."""
    masks = torch.zeros(len(rows), 64, 64, dtype=torch.bool)
    for mask, ((x1, y1, x2, y2), *_) in zip(masks, rows, strict=True):
        mask[y1:y2, x1:x2] = True
    return InstanceData(
        bboxes=torch.tensor([row[0] for row in rows]).reshape(-1, 4).float(),
        scores=torch.tensor([row[1] for row in rows]),
        mask_scores=torch.tensor([row[2] for row in rows]),
        labels=torch.zeros(len(rows), dtype=torch.long),
        masks=masks,
    )


@pytest.mark.parametrize('swap', [False, True])
def test_boxes_and_masks_have_their_own_order(tmp_path, swap):
    right, wrong = [8, 8, 40, 40], [50, 50, 60, 60]
    scores = [(0.9, 0.2), (0.5, 0.8)]  # of box and of mask
    first, second = scores[::-1] if swap else scores
    result = metric(tmp_path, instances([(right, *first), (wrong, *second)]))
    aps = result['coco/bbox_mAP'], result['coco/segm_mAP']
    # the right one second: a precision of one half
    expected = (0.5, 1.0) if swap else (1.0, 0.5)
    assert aps == pytest.approx(expected, abs=1e-3)


def test_evaluation_with_an_image_without_detections(tmp_path):
    right = [8, 8, 40, 40]
    result = metric(tmp_path, instances([(right, 0.9, 0.9)]), instances([]))
    # half of the objects are found: recalls of 0 to 0.5 of 101
    assert result['coco/segm_mAP'] == pytest.approx(51 / 101, abs=1e-3)


def test_the_object_outside_the_box_counts():
    """A box on half of an object can have half of its IoU at most."""
    head = small.build().roi_head.mask_iou_head
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, :, :32] = 1
    sample = InstanceData(
        pos_priors=torch.tensor([[0.0, 0, 16, 64]]),
        pos_assigned_gt_inds=torch.tensor([0]),
    )
    ious = head.get_targets(
        [sample],
        [InstanceData(masks=BitmapMasks(mask, 64, 64))],
        torch.full((1, 28, 28), 0.1),  # a logit: a probability above 0.5
        torch.ones(1, 28, 28),
        small.build().roi_head.train_cfg,
    )
    torch.testing.assert_close(ious, torch.tensor([0.5]), atol=1e-3, rtol=0)


def test_without_mask_scoring():
    model = small.build(roi_head=without(dict(mask_iou_head=None)))
    inputs, samples = small.batch(model).values()
    assert 'loss_mask_iou' not in check_step(model.train(), inputs, samples)
    model = small.trained(roi_head=without(dict(mask_iou_head=None)))
    result = model.predict(inputs, samples)[0].pred_instances
    assert len(result) == 50 and result.mask_scores.equal(result.scores)
    scoring = small.trained()
    scoring.roi_head.mask_iou_head = None  # as the comparison of docs/paper
    result = scoring.predict(inputs, samples)[0].pred_instances
    assert len(result) == 50 and result.mask_scores.equal(result.scores)


def test_with_the_rule_of_fpn():
    """mmdet's extractor needs no areas."""
    extractor = dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        out_channels=32,
        featmap_strides=[8, 16, 32],
    )
    model = small.build(roi_head=without(dict(mask_roi_extractor=extractor)))
    check_step(model.train(), *small.batch(model).values())


@pytest.fixture
def process_group(tmp_path):
    store = f'file://{tmp_path}/store'
    torch.distributed.init_process_group('gloo', store, world_size=1, rank=0)
    yield
    torch.distributed.destroy_process_group()


def test_distributed_data_parallel_finds_all_parameters_used(process_group):
    """It raises in the step after one whose loss left out a parameter."""
    model = small.build().train()
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    for num_items in ((2, 3), (0, 0), (0, 1), (1, 1)):
        data = small.batch(model, num_items)
        total(parallel(*data.values(), mode='loss')).backward()
