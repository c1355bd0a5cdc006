"""FCOS3D learns one photograph by heart, and its boxes are drawn on it."""

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from .files import ROOT, load

# mmdetection3d's tests/data holds it; it may not be passed on.
PLACES = [ROOT.parent / 'data', ROOT.parents[1] / 'shared/data/mono3d']
CONFIG = ROOT / 'fcos3d/fcos3d_vovnet39-ese_fpn_head-gn_8xb2-1x_nus-mono3d.py'
ARCH = dict(
    stem_channels=(16, 16, 32),
    conv_channels=(16, 24, 32, 40),
    out_channels=(32, 64, 96, 128),
    num_modules=(1, 1, 1, 1),
    num_layers=3,
)
NARROW = dict(
    backbone=dict(frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 96, 128], out_channels=64),
    bbox_head=dict(  # KITTI knows no velocities and attributes
        num_classes=3,
        in_channels=64,
        feat_channels=64,
        cls_branch=(64,),
        reg_branch=((64,), (64,), (64,), (64,)),
        dir_branch=(64,),
        pred_attrs=False,
        pred_velo=False,
        group_reg_dims=(2, 1, 3, 1),
        bbox_code_size=7,
        bbox_coder=dict(code_size=7),
        dcn_on_last_conv=False,
    ),
    train_cfg=dict(code_weight=[1.0, 1.0, 0.2, 1.0, 1.0, 1.0, 1.0]),
    test_cfg=dict(nms_thr=0.1, score_thr=0.1),
)
STEPS = 600
LEFT, TOP, RIGHT, BOTTOM = 288, 96, 672, 256  # where the objects are


@pytest.fixture
def photograph():
    """A KITTI photograph, BGR, and what mmdet3d says about it."""
    for place in PLACES:
        path = place / 'kitti' / 'kitti_infos_mono3d.coco.json'
        if path.exists():
            break
    else:
        pytest.skip("needs mmdetection3d's tests/data/kitti as data/kitti")
    said = json.loads(path.read_text())
    (image,) = said['images']
    return cv2.imread(str(path.parent / image['file_name'])), said


def sample(said, left=0, top=0, right=1242, bottom=375):
    """What is on a part of the photograph, as mmdet3d wants it."""
    from mmdet3d.structures import CameraInstance3DBoxes, Det3DDataSample
    from mmengine.structures import InstanceData

    (image,), truth = said['images'], said['annotations']
    corner = torch.tensor([left, top])
    boxes = torch.tensor([ann['bbox_cam3d'] for ann in truth])
    labels = torch.tensor([ann['category_id'] for ann in truth])
    centers = torch.tensor([ann['center2d'] for ann in truth])
    corners = torch.tensor([ann['bbox'] for ann in truth])
    corners[:, :2] -= corner
    corners[:, 2:] += corners[:, :2]
    size = bottom - top, right - left
    camera = np.array(image['cam_intrinsic'], np.float32)[:3, :3]
    camera[:2, 2] -= left, top
    result = Det3DDataSample(
        metainfo=dict(
            img_shape=size,
            ori_shape=size,
            pad_shape=size,
            scale_factor=(1.0, 1.0),
            cam2img=camera.tolist(),
            box_type_3d=CameraInstance3DBoxes,
        )
    )
    result.eval_ann_info = None
    result.gt_instances_3d = InstanceData(
        bboxes_3d=CameraInstance3DBoxes(boxes, origin=(0.5, 0.5, 0.5)),
        labels_3d=labels,
        centers_2d=centers[:, :2] - corner,
        depths=centers[:, 2],
        attr_labels=torch.zeros_like(labels),
    )
    result.gt_instances = InstanceData(bboxes=corners, labels=labels)
    return result


def learn(model, batch):
    """Train for a few steps; return the loss of each."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, STEPS)
    losses = []
    for _ in range(STEPS):
        # The head turns the boxes that it gets.
        samples = copy.deepcopy(batch['data_samples'])
        loss = sum(model.loss(batch['inputs'], samples).values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 35)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def drawn(pixels, sample, path):
    """The truth on the photograph and, on its right, what was found."""
    from mmdet3d.visualization import Det3DLocalVisualizer

    visualizer = Det3DLocalVisualizer()
    visualizer.dataset_meta = dict(
        classes=('Pedestrian', 'Cyclist', 'Car'),
        palette=[(220, 20, 60), (255, 200, 0), (0, 220, 120)],
    )
    visualizer.add_datasample(
        'photograph',
        dict(img=pixels[..., ::-1].copy()),
        sample,
        out_file=str(path),
        vis_task='mono_det',
    )
    return cv2.imread(str(path))


@pytest.mark.slow
def test_fcos3d_learns_one_photograph(photograph, scope, tmp_path):
    pytest.importorskip('mmdet3d')
    pixels, said = photograph
    cfg = load(CONFIG)
    cfg.merge_from_dict(dict(model=NARROW))
    cfg.model.backbone.arch = ARCH
    scope('mmdet3d')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    part = torch.from_numpy(pixels[TOP:BOTTOM, LEFT:RIGHT]).permute(2, 0, 1)
    batch = model.data_preprocessor(
        dict(
            inputs=dict(img=[part]),
            data_samples=[sample(said, LEFT, TOP, RIGHT, BOTTOM)],
        ),
        True,
    )
    losses = learn(model.train(), batch)
    # Most of what is left is centerness, whose targets are soft.
    assert losses[-1] < losses[0] / 10

    with torch.no_grad():
        (result,) = model.eval().predict(
            batch['inputs'], copy.deepcopy(batch['data_samples'])
        )
    found = result.pred_instances_3d
    whole = sample(said)
    true = whole.gt_instances_3d
    assert len(found) == len(true)
    boxes, true_boxes = found.bboxes_3d.tensor, true.bboxes_3d.tensor
    distance = torch.cdist(boxes[:, :3], true_boxes[:, :3])
    nearest = distance.argmin(1)
    assert nearest.unique().numel() == len(true)
    assert distance.min(1).values.max() < 0.5  # metres; 25 to 60 m away
    assert torch.equal(found.labels_3d, true.labels_3d[nearest])
    size, turn = (boxes - true_boxes[nearest])[:, 3:7].split([3, 1], 1)
    assert size.abs().max() < 0.1
    assert torch.cos(turn).min() > 0.99

    whole.pred_instances_3d = found
    left, right = np.split(drawn(pixels, whole, tmp_path / 'boxes.png'), 2, 1)
    for picture in (left, right):
        changed = np.abs(picture.astype(int) - pixels).max(2) > 60
        rows, columns = changed.nonzero()
        assert 300 < len(rows) < 20_000
        assert rows.min() > TOP and rows.max() < BOTTOM
        assert columns.min() > LEFT and columns.max() < RIGHT
    both = np.abs(left.astype(int) - right).max(2) > 60
    assert both.sum() < 2000  # they were drawn at the same places
