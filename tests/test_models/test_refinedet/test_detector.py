import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from torch import nn

from mmvovnet.deploy import fuse
from mmvovnet.deploy.outputs import RawOutputs
from mmvovnet.weights import load
from tests.test_deploy.small import settle

from . import small, toy

ROOT = Path(__file__).parents[3]


def trained(**kwargs):
    """A model that finds something: its batch norms are not at their start."""
    model = settle(small.build(**kwargs))
    for head in (model.arm_head, model.bbox_head):
        for conv in (*head.score_convs, *head.delta_convs):
            nn.init.normal_(conv.weight, std=0.1)
    return model


def results_of(model, data):
    with torch.no_grad():
        return [r.pred_instances for r in model.test_step(data)]


def test_no_gradient_from_the_second_head_to_the_first():
    model = small.build().train()
    losses = model.loss(*small.batch(model).values())
    assert sorted(losses) == [
        'loss_arm_bbox',
        'loss_arm_cls',
        'loss_odm_bbox',
        'loss_odm_cls',
    ]
    (losses['loss_odm_cls'] + losses['loss_odm_bbox']).backward()
    assert all(p.grad is None for p in model.arm_head.parameters())
    for part in (model.backbone, model.neck, model.bbox_head):
        assert any(p.grad is not None for p in part.parameters())


@pytest.mark.parametrize('planes', [4, None], ids=['residual', 'plain'])
def test_every_parameter_gets_a_gradient(planes):
    neck = {} if planes else dict(residual=False, norm_cfg=None)
    model = small.build(planes=planes, **neck).train()
    losses = model.loss(*small.batch(model).values())
    sum(losses.values()).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert missing == []


@pytest.mark.parametrize('num_items', [(0, 2), (0, 0)])
def test_images_without_objects(num_items):
    model = small.build().train()
    losses = model.loss(*small.batch(model, num_items).values())
    total = sum(losses.values())
    assert torch.isfinite(total)
    assert (total == 0) == (sum(num_items) == 0)
    total.backward()  # as DistributedDataParallel needs it, for all
    assert all(p.grad is not None for p in model.parameters())


def test_one_class():
    model = small.build(num_classes=1).train()
    inputs, samples = small.batch(model, num_classes=2).values()
    for sample in samples:
        sample.gt_instances.labels.zero_()
    losses = model.loss(inputs, samples)
    assert all(torch.isfinite(loss) for loss in losses.values())
    results = results_of(model.eval(), demo_mm_inputs(1, [(3, 64, 64)]))
    assert set(results[0].labels.tolist()) <= {0}


@pytest.mark.parametrize('shape', [(3, 64, 640), (3, 640, 64), (3, 33, 97)])
def test_extreme_shapes(shape):
    model = trained()
    (result,) = results_of(model, demo_mm_inputs(1, [shape]))
    assert len(result) > 0
    height, width = shape[1:]
    corners = result.bboxes.view(-1, 2)
    assert (corners >= 0).all()
    assert (corners <= torch.tensor([width, height])).all()


def test_a_batch_is_what_its_images_are():
    model = trained()
    data = demo_mm_inputs(2, [(3, 64, 128), (3, 64, 128)])
    together = results_of(model, data)
    for i, expected in enumerate(together):
        one = {key: [values[i]] for key, values in data.items()}
        (alone,) = results_of(model, one)
        torch.testing.assert_close(alone.bboxes, expected.bboxes)
        torch.testing.assert_close(alone.scores, expected.scores)


def test_mixed_precision():
    model = small.build().train()
    batch = small.batch(model)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(*batch.values())
    exact = model.loss(*batch.values())
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=0.1, atol=0.1)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_folded():
    model = trained()
    folded = fuse(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    images = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        pairs = zip(
            RawOutputs(model)(images), RawOutputs(folded)(images), strict=True
        )
    for wanted, actual in pairs:
        torch.testing.assert_close(actual, wanted, rtol=1e-3, atol=1e-4)


def test_raw_outputs():
    """Four per level, of the second head, then of the first."""
    model = trained()
    raw = RawOutputs(model)
    with torch.no_grad():
        outputs = raw(torch.rand(1, 3, 192, 64))
    names = [f'{k}{i}' for k in model.output_kinds for i in range(4)]
    assert raw.names(outputs) == names


PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(
        type='PackDetInputs',
        meta_keys=('ori_shape', 'img_shape', 'scale_factor'),
    ),
]


@pytest.fixture
def inferable():
    """A model as mmdet's inference API wants it."""
    model = trained()
    model.cfg = Config(
        dict(
            model=small.config(),
            test_dataloader=dict(
                dataset=dict(type='CocoDataset', pipeline=PIPELINE)
            ),
            visualizer=dict(type='DetLocalVisualizer'),
        )
    )
    model.dataset_meta = dict(classes=('a', 'b', 'c'), palette='random')
    return model


def test_inference_api(inferable):
    image = torch.randint(256, (48, 80, 3), dtype=torch.uint8).numpy()
    found = inference_detector(inferable, image).pred_instances
    assert len(found) > 0
    assert found.bboxes[:, 2].max() <= 80 and found.bboxes[:, 3].max() <= 48


def test_det_inferencer(inferable, tmp_path):
    path = tmp_path / 'model.pth'
    meta = dict(dataset_meta=inferable.dataset_meta)
    torch.save(dict(state_dict=inferable.state_dict(), meta=meta), path)
    cfg = inferable.cfg
    cfg.default_scope = 'mmdet'
    inferencer = DetInferencer(cfg, str(path), device='cpu')
    image = torch.randint(256, (48, 80, 3), dtype=torch.uint8).numpy()
    (result,) = inferencer([image], batch_size=1)['predictions']
    assert len(result['bboxes']) == len(result['scores']) > 0


def test_several_sizes_and_both_ways_round():
    model = trained()
    tta = MODELS.build(
        dict(
            type='DetTTAModel',
            module=model,
            tta_cfg=ConfigDict(
                nms=dict(type='nms', iou_threshold=0.45), max_per_img=7
            ),
        )
    )
    views = [demo_mm_inputs(1, [(3, size, size)]) for size in (64, 128)]
    for view, flip in zip(views, (False, True), strict=True):
        size = view['inputs'][0].size(1)
        view['data_samples'][0].set_metainfo(
            dict(
                ori_shape=(64, 64),
                scale_factor=(size / 64, size / 64),
                flip=flip,
                flip_direction='horizontal' if flip else None,
            )
        )
    data = {
        key: [view[key] for view in views]
        for key in ('inputs', 'data_samples')
    }
    with torch.no_grad():
        (result,) = tta.test_step(data)
    assert len(result.pred_instances) == 7
    assert result.pred_instances.bboxes.max() <= 64


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    for name, count in (('one', 1), ('two', 2)):
        subprocess.run(
            [
                *torchrun,
                f'--nproc_per_node={count}',
                Path(toy.__file__),
                tmp_path / name,
            ],
            check=True,
            env=os.environ
            | dict(CUDA_VISIBLE_DEVICES='-1', PYTHONPATH=str(ROOT)),
        )
    one, two = (
        load(tmp_path / name / 'iter_3.pth')['state_dict']
        for name in ('one', 'two')
    )
    first = load(tmp_path / 'one' / 'iter_1.pth')['state_dict']
    key = 'bbox_head.score_convs.0.weight'
    assert not one[key].allclose(first[key], rtol=0, atol=1e-4)
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_it_overfits_four_images():
    assert toy.overfit() > 0.9
