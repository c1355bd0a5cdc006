import json
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from swap import main

from mmvovnet.swap import plan_swap
from mmvovnet.swap.write import base_of, config_text, write_config

BASE = """
default_scope = 'mmseg'
norm = dict(type='BN')
loss = dict(type='CrossEntropyLoss')
head = dict(
    type='FCNHead', in_channels=512, in_index=3, channels=16, num_convs=1,
    num_classes=3, norm_cfg=norm, loss_decode=loss)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[1.0] * 3, std=[2.0] * 3,
        bgr_to_rgb=True, size=(64, 64)),
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(
        type='ResNetV1c', depth=18, style='pytorch', norm_cfg=norm),
    decode_head=head,
    auxiliary_head=[
        dict(head, in_channels=256, in_index=2),
        dict(head, in_channels=128, in_index=1),
    ],
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone.layer1': dict(lr_mult=0.1)}))
"""
WRITTEN = """\
# `swap` wrote this. Comments give the old values.
_base_ = './base.py'
custom_imports = dict(imports=['mmvovnet.engine'], allow_failed_imports=False)
runner_type = 'mmvovnet.Runner'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvovnet.VoVNet',  # 'ResNetV1c'
        arch='V-19-dw-eSE',
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='vovnet://ese_vovnet19b_dw.ra_in1k',
        ),
        # left out: depth=18, style='pytorch', norm_cfg=dict(type='BN')
    ),
    # 'open-mmlab://resnet18_v1c' (weights of a model with the old backbone)
    pretrained=None,
    data_preprocessor=dict(
        # [1.0, 1.0, 1.0] (as the weights expect)
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],  # [2.0, 2.0, 2.0] (as the weights expect)
    ),
    decode_head=dict(in_channels=1024),  # 512
    auxiliary_head=[
        dict(
            _base_.model.auxiliary_head[0],
            in_channels=768,  # 256
        ),
        dict(
            _base_.model.auxiliary_head[1],
            in_channels=512,  # 128
        ),
    ],
)

optim_wrapper = dict(
    paramwise_cfg=dict(
        # {'backbone.layer1': dict(lr_mult=0.1)}
        custom_keys={'_delete_': True, 'backbone.stages.0': dict(lr_mult=0.1)},
    ),
)
"""


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    pytest.importorskip('mmseg')
    path = tmp_path_factory.mktemp('configs') / 'base.py'
    path.write_text(BASE)
    yield path
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='module')
def swap(base):
    return plan_swap(Config.fromfile(base), 'V-19-dw-eSE')


def test_file_is_what_a_person_would_write(base, swap):
    target = base.with_name('swapped.py')
    text = config_text(swap, base_of(str(base), target, False), 'swap', False)
    assert text == WRITTEN
    write_config(swap, text, target)
    written = Config.fromfile(target)
    for key in ('model', 'optim_wrapper'):
        assert written[key].to_dict() == swap.cfg[key].to_dict()


def test_nothing_is_left_of_a_file_that_reads_otherwise(base, swap, tmp_path):
    target = tmp_path / 'swapped.py'
    with pytest.raises(ValueError, match=r'would not set model\.backbone'):
        write_config(swap, f'_base_ = {str(base)!r}', target)
    assert not [*tmp_path.iterdir()]


def test_base_in_another_folder(base, tmp_path):
    target = base.parent / 'mine' / 'x.py'
    assert base_of(str(base), target, False) == '../base.py'
    assert base_of('mmdet::a/b.py', target, False) == 'mmdet::a/b.py'
    odd = base_of('mmdet::gn+ws/b.py', target, False)
    assert odd == 'mmdet::_base_/../gn+ws/b.py'
    assert base_of(str(base), target, True) == '..base'
    with pytest.raises(ValueError, match='rename it'):
        base_of(str(base.with_name('r50-fpn.py')), target, True)


NEW_STYLE = """
from mmpretrain.models import (
    GlobalAveragePooling, ImageClassifier, LinearClsHead, ResNet)

default_scope = 'mmpretrain'
model = dict(
    type=ImageClassifier,
    backbone=dict(type=ResNet, depth=18, out_indices=(3, )),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=4, in_channels=512))
"""


def test_command_and_new_style(tmp_path, monkeypatch, capsys):
    pytest.importorskip('mmpretrain')
    (tmp_path / 'base.py').write_text(NEW_STYLE)
    monkeypatch.chdir(tmp_path)
    command = [
        'swap',
        'base.py',
        '--arch',
        'V-19-dw-eSE',
        '-o',
        'mine.py',
        '--check',
    ]
    monkeypatch.setattr(sys, 'argv', command)
    main()
    out = capsys.readouterr().out
    assert 'model.head.in_channels = 1024  # 512' in out
    assert 'left alone: the pixels: random weights take any' in out
    assert 'one step: loss' in out
    assert 'before: 11.18 M parameters' in out
    now = r'now: (\d+\.\d+) M parameters; the backbone \1 M and \d+\.\d+ G'
    assert re.search(now, out)
    cfg = Config.fromfile('mine.py')
    assert cfg.model.backbone == dict(
        type='mmvovnet.VoVNet', arch='V-19-dw-eSE', out_indices=(3,)
    )
    assert cfg.model.head.in_channels == 1024
    with pytest.raises(SystemExit, match='--force'):
        main()
    DefaultScope._instance_dict.clear()


def test_the_file_of_the_command_is_python(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['swap', 'base.py', '-o', 'mine.json'])
    with pytest.raises(SystemExit):
        main()
    assert "a .py file, not 'mine.json'" in capsys.readouterr().err


TOY = """
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='',
        ann_file='coco.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('a', 'b')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(128, 128)),
            dict(type='PackDetInputs'),
        ],
    ),
)
train_cfg = dict(max_epochs=1)
"""


@pytest.mark.slow
def test_written_file_trains_for_two_iterations(tmp_path, monkeypatch):
    pytest.importorskip('mmdet.models', exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    sizes = dict(width=128, height=128)
    images = [dict(id=i, file_name=f'{i}.png', **sizes) for i in range(4)]
    box = dict(bbox=[16, 16, 64, 64], area=4096, iscrowd=0, category_id=0)
    boxes = [box | dict(id=i, image_id=i) for i in range(4)]
    kinds = [dict(id=i, name='ab'[i]) for i in range(2)]
    coco = dict(images=images, annotations=boxes, categories=kinds)
    Path('coco.json').write_text(json.dumps(coco))
    noise = np.random.default_rng(0).bytes(4 * 128 * 128 * 3)
    noise = np.frombuffer(noise, np.uint8).reshape(4, 128, 128, 3)
    for i, pixels in enumerate(noise):
        cv2.imwrite(f'{i}.png', pixels)
    Path('base.py').write_text(TOY)
    command = ['swap', 'base.py', '--arch', 'V-27-slim', '--weights', 'none']
    monkeypatch.setattr(sys, 'argv', [*command, '-o', 'mine.py'])
    main()
    tool = Path(__file__).parents[2] / 'tools' / 'train.py'
    monkeypatch.setattr(sys, 'argv', ['train', 'mine.py', '--no-validate'])
    runpy.run_path(str(tool), run_name='__main__')
    assert Path('work_dirs/mine/epoch_1.pth').is_file()
    DefaultScope._instance_dict.clear()
