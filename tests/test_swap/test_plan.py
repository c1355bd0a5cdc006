import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from torch import nn

from mmvovnet.swap import SwapError, plan_swap, swap_backbone
from mmvovnet.swap.channels import obvious
from mmvovnet.tasks import get
from mmvovnet.weights import CheckpointError, public_files

FAST = {
    'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py': {
        'neck.in_channels': [128, 256, 384, 512]
    },
    'mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py': {
        'neck.in_channels': 512,
        'data_preprocessor.bgr_to_rgb': True,
    },
    'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py': {
        'decode_head.in_channels': 512,
        'auxiliary_head.in_channels': 384,
        'backbone.strides': (1, 2, 1, 1),
        'backbone.dilations': (1, 1, 2, 4),
        'backbone.norm_cfg.type': 'SyncBN',
        'pretrained': None,
    },
    # Its context path and two auxiliary heads take maps of the backbone.
    'mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py': {
        'backbone.context_channels': (256, 384, 512),
        'backbone.spatial_channels': (64, 64, 64, 128),
    },
    'mmpretrain::resnet/resnet18_8xb32_in1k.py': {'head.in_channels': 512},
    # Of another family: its strides are of patches, and its norm is LN.
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py': {
        'backbone.out_indices': (0, 1, 2, 3),
        'decode_head.in_channels': [128, 256, 384, 512],
    },
}
SLOW = [
    'mmpretrain::mocov3/mocov3_resnet50_8xb512-amp-coslr-100e_in1k.py',
    'mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py',
    'mmdet::boxinst/boxinst_r50_fpn_ms-90k_coco.py',
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
    'mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py',
    'mmseg::mobilenet_v2/'
    'mobilenet-v2-d8_deeplabv3plus_4xb2-80k_cityscapes-512x1024.py',
    'mmdet::pvt/retinanet_pvt-t_fpn_1x_coco.py',
    'mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py',
    'mmdet::ddod/ddod_r50_fpn_1x_coco.py',
    'mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mmdet::fast_rcnn/fast-rcnn_r50_fpn_1x_coco.py',
    'mmdet::_base_/../gn+ws/mask-rcnn_r50_fpn_gn-ws-all_2x_coco.py',
    'mmdet::htc/htc_r50_fpn_1x_coco.py',
    'mmdet::ld/ld_r50-gflv1-r101_fpn_1x_coco.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
    'mmdet::queryinst/queryinst_r50_fpn_1x_coco.py',
    'mmdet::reid/reid_r50_8xb32-6e_mot15train80_test-mot15val20.py',
    'mmdet::soft_teacher/'
    'soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
    'mmdet::tood/tood_r50_fpn_1x_coco.py',
    'mmseg::encnet/encnet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::fastfcn/fastfcn_r50-d32_jpu_psp_4xb4-80k_ade20k-512x512.py',
    'mmseg::knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py',
    'mmseg::point_rend/pointrend_r50_4xb4-160k_ade20k-512x512.py',
]


@pytest.fixture(autouse=True)
def no_scope_stays():
    yield
    DefaultScope._instance_dict.clear()


def config(name):
    pytest.importorskip(name.partition('::')[0])
    return get_config(name)


@pytest.mark.parametrize(('name', 'entries'), FAST.items())
def test_swapped_model_takes_a_step(name, entries):
    original = config(name)
    before = original.pretty_text
    random = torch.get_rng_state()
    swap = plan_swap(original, 'V-27-slim', with_step=True)
    assert original.pretty_text == before
    assert torch.get_rng_state().equal(random)
    assert swap.step is not None, swap.left
    assert swap.step.idle == []
    for place, value in entries.items():
        assert get(swap.cfg.model, place.split('.')) == value


@pytest.mark.slow
@pytest.mark.parametrize('name', SLOW)
def test_each_family_takes_a_step(name):
    assert plan_swap(config(name), 'V-27-slim', with_step=True).step


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        (
            'mmdet::detectors/cascade-rcnn_r50-rfp_1x_coco.py',
            r'model\.neck\.rfp_backbone \(DetectoRS_ResNet\): the neck feeds',
        ),
        pytest.param(
            'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py',
            r'shared_head \(ResLayer\): it is a stage of ResNet',
            marks=pytest.mark.slow,
        ),
        pytest.param(
            'mmseg::icnet/icnet_r50-d8_4xb2-80k_cityscapes-832x832.py',
            r"ICNet needs more of its backbone .*'layer1'",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_swapped_says_why(name, reason):
    with pytest.raises(SwapError, match=reason):
        plan_swap(config(name), 'V-27-slim')


@pytest.mark.slow
def test_teacher_keeps_its_backbone():
    cfg = config('mmdet::lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py')
    swap = plan_swap(cfg, 'V-27-slim', with_step=True)
    for part in ('teacher_backbone', 'teacher_neck', 'teacher_bbox_head'):
        assert swap.cfg.model[part] == cfg.model[part]
    assert swap.left[0].startswith('model.teacher_backbone: a second')
    assert swap.step


def test_pose(monkeypatch):
    """MMPose's xtcocotools is for numpy 1; pycocotools has the same names."""
    for name in ('', '.coco', '.cocoeval', '.mask'):
        coco = pytest.importorskip(f'pycocotools{name}')
        monkeypatch.setitem(sys.modules, f'xtcocotools{name}', coco)
    pytest.importorskip('mmpose.models', exc_type=ImportError)
    cfg = get_config(
        'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
        'td-hm_res50_8xb64-210e_coco-256x192.py'
    )
    swap = plan_swap(cfg, 'V-27-slim', with_step=True)
    assert swap.cfg.model.head.in_channels == 512
    assert swap.step and not swap.step.idle


def classifier(**model):
    backbone = dict(type='ResNet', depth=18, out_indices=(3,))
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=backbone | model.pop('backbone', {}),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', num_classes=4, in_channels=512
                ),
                data_preprocessor=dict(mean=[0] * 3, std=[1] * 3),
                **model,
            ),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.1),
                paramwise_cfg=dict(
                    custom_keys={
                        'backbone.layer2': dict(lr_mult=0.1),
                        'backbone.conv1': dict(lr_mult=0.01),
                        'head.layer2': dict(lr_mult=2),
                    }
                ),
            ),
        )
    )


@pytest.mark.parametrize('channels', [1, 4])
@pytest.mark.parametrize('values', [0, 1])
def test_images_of_other_channels(channels, values):
    pixels = dict(mean=[0] * channels * values, std=[1] * channels * values)
    cfg = classifier(backbone=dict(in_channels=channels))
    cfg.model.data_preprocessor = pixels if values else {}
    swap = plan_swap(cfg, 'V-27-slim', 'none', with_step=True)
    assert swap.cfg.model.backbone.in_channels == channels
    assert swap.cfg.model.data_preprocessor == (pixels if values else {})
    assert swap.step and not swap.step.idle


class Pyramid(BaseModule):
    """It puts out a map of each of some strides."""

    def __init__(self, strides):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.strides = strides

    def forward(self, x):
        x = self.conv(x)
        return [x[..., ::stride, ::stride] for stride in self.strides]


@pytest.mark.parametrize(
    ('found', 'stages', 'strides', 'dilations'),
    [
        ((4, 8, 16, 32), (0, 1, 2, 3), None, None),
        ((16, 32), (2, 3), None, None),
        ((4, 8, 16, 16), (0, 1, 2, 3), (1, 2, 2, 1), (1, 1, 1, 2)),
        ((4, 8, 8, 8), (0, 1, 2, 3), (1, 2, 1, 1), (1, 1, 2, 4)),
    ],
)
def test_stages_by_the_strides_of_maps(found, stages, strides, dilations):
    cfg = classifier()
    cfg.model.backbone = dict(type=Pyramid, strides=found)
    cfg.model.head.in_channels = 8
    backbone = swap_backbone(cfg, 'V-27-slim').model.backbone
    assert backbone.out_indices == stages
    assert backbone.get('strides') == strides
    assert backbone.get('dilations') == dilations


@pytest.mark.parametrize(
    'found',
    [(8, 16, 32, 64), (2, 4, 8, 16), (8, 16, 16), (4, 8, 16, 8), (4, 4, 8, 8)],
)
def test_strides_that_vovnet_has_not(found):
    cfg = classifier()
    cfg.model.backbone = dict(type=Pyramid, strides=found)
    with pytest.raises(SwapError, match='Pyramid puts out maps of strides'):
        swap_backbone(cfg, 'V-27-slim')


@pytest.mark.parametrize(
    ('dcn', 'stages'),
    [(None, (False, True, True, True)), (dict(type='DCN'), (False,) * 4)],
)
def test_deformable_convs_of_no_stage(dcn, stages):
    pytest.importorskip('mmdet')
    options = dict(dcn=dcn, stage_with_dcn=stages)
    cfg = classifier(backbone=dict(type='mmdet.ResNet', **options))
    backbone = swap_backbone(cfg, 'V-27-slim').model.backbone
    assert not backbone.keys() & options.keys()


def test_no_step_is_taken_unasked():
    assert plan_swap(classifier(), 'V-27-slim').step is None


def test_two_levels_are_surely_channels():
    neck = dict(in_channels=[256, 512], out_channels=256)
    cfg = Config(dict(model=dict(neck=neck)))
    old, new = [64, 128, 256, 512], [112, 256, 384, 512]
    place = ('model', 'neck', 'in_channels')
    found = dict(obvious(cfg, ('model', 'backbone'), old, new))
    assert found == {place: [384, 512]}


@pytest.mark.parametrize(
    ('norm', 'random', 'trained'),
    [
        (dict(type='BN'), None, None),
        (dict(type='SyncBN'), dict(type='SyncBN'), dict(type='SyncBN')),
        (
            dict(type=nn.BatchNorm2d, requires_grad=False),
            dict(type='BN', requires_grad=True),
            dict(type='BN', requires_grad=False),
        ),
        # Groups that divide the channels of each of V-27-slim's layers.
        (
            dict(type='GN', num_groups=32),
            dict(type='GN', num_groups=16),
            'norm_eval',
        ),
        (dict(type='IN'), None, 'norm_eval'),
    ],
)
def test_norms(norm, random, trained):
    cfg = classifier(backbone=dict(norm_cfg=norm))
    backbone = swap_backbone(cfg, 'V-27-slim', 'none').model.backbone
    assert backbone.get('norm_cfg') == random
    assert 'norm_eval' not in backbone
    swap = plan_swap(cfg, 'V-27-slim', 'vovnet27_slim_toolbox')
    backbone = swap.cfg.model.backbone
    if trained == 'norm_eval':  # the weights have BN, whose statistics stay
        assert backbone.norm_eval and 'norm_cfg' not in backbone
        why = swap.changes['model', 'backbone', 'norm_eval'].why
        assert why == f'{norm["type"]} before; the statistics of BN stay'
    else:
        assert backbone.get('norm_cfg') == trained
        assert 'norm_eval' not in backbone


def test_no_weights_before_and_none_after():
    cfg = swap_backbone(classifier(), 'V-19-slim-eSE')
    assert 'init_cfg' not in cfg.model.backbone
    assert cfg.model.data_preprocessor.mean == [0] * 3


def test_layerwise_rules_of_the_optimizer_stay_at_their_layers():
    cfg = swap_backbone(classifier(), 'V-27-slim')
    assert dict(cfg.optim_wrapper.paramwise_cfg.custom_keys) == {
        'backbone.stages.1': dict(lr_mult=0.1),
        'backbone.stem': dict(lr_mult=0.01),
        'head.layer2': dict(lr_mult=2),
    }


def test_weights_bring_their_pixels_and_the_old_ones_go():
    cfg = classifier(
        init_cfg=dict(type='Pretrained', checkpoint='classifier.pth'),
        backbone=dict(frozen_stages=1),
    )
    cfg.load_from = 'detector.pth'
    swap = plan_swap(cfg, 'V-19-dw-eSE')
    assert swap.cfg.load_from is None and swap.cfg.model.init_cfg is None
    assert swap.cfg.model.data_preprocessor == dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    )
    assert swap.cfg.model.backbone.init_cfg.checkpoint.startswith('vovnet://')
    assert swap.cfg.model.backbone.frozen_stages == 1


def test_nothing_random_is_frozen():
    cfg = classifier(backbone=dict(frozen_stages=1, norm_eval=True))
    with pytest.raises(SwapError, match='none of V-93 can be had'):
        swap_backbone(cfg, 'V-93')
    swap = plan_swap(cfg, 'V-27-slim', 'none')
    backbone = swap.cfg.model.backbone
    assert {'frozen_stages', 'norm_eval', 'init_cfg'}.isdisjoint(backbone)
    for key in ('frozen_stages', 'norm_eval'):
        change = swap.changes['model', 'backbone', key]
        assert change.why == 'off: random weights must train'


@pytest.mark.parametrize(
    ('arch', 'weights', 'message'),
    [
        ('V-40', None, "unknown arch 'V-40'"),
        ('V-39', 'vovnet57_pytorchcv', "of V-57, not of 'V-39'"),
    ],
)
def test_wrong_arch(arch, weights, message):
    with pytest.raises(SwapError, match=message):
        swap_backbone(classifier(), arch, weights)


def test_weights_by_every_form_of_a_name():
    for name in ('vovnet39_pytorchcw', 'vovnet://vovnet39_pytorchcw'):
        with pytest.raises(CheckpointError, match='like it are vovnet39_pyt'):
            swap_backbone(classifier(), 'V-39', name)
    for name in ('timm/ese_vovnet57b', 'vovnet://vovnet57_ese_toolbox.pth'):
        cfg = swap_backbone(classifier(), 'V-57-eSE', name)
        checkpoint = cfg.model.backbone.init_cfg.checkpoint
        row = public_files()[checkpoint.removeprefix('vovnet://')]
        assert cfg.model.data_preprocessor.mean == [*row.pixels.mean]
    for name in ('mine/weights.pth', 'hf-hub:me/mine', 'https://a.b/c.pth'):
        cfg = swap_backbone(classifier(), 'V-39', name)
        assert cfg.model.backbone.init_cfg.checkpoint == name


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('SparseResNet', 'the original SparseResNet does not run here'),
        ('Nowhere', 'the original Nowhere does not run here: KeyError'),
    ],
)
def test_backbone_that_cannot_be_replaced(kind, message):
    pytest.importorskip('mmpretrain.models', exc_type=ImportError)
    with pytest.raises(SwapError, match=message):
        swap_backbone(classifier(backbone=dict(type=kind, depth=50)), 'V-39')


def test_paper_stem_keeps_the_strides():
    dilated = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
    cfg = classifier(backbone=dilated)
    cfg = swap_backbone(cfg, 'V-27-slim', 'vovnet27_slim_toolbox')
    assert cfg.model.backbone.stem_strides == [2, 1, 1]
    assert cfg.model.backbone.strides == (2, 2, 1, 1)
    assert cfg.model.backbone.dilations == (1, 1, 2, 4)
    assert torch.is_grad_enabled()
