import pytest
import torch

from mmvovnet import VoVNet
from mmvovnet.weights import dialects
from mmvovnet.weights.adapter import rename
from mmvovnet.weights.dialects import AUTHORS, DIALECTS, Pixels

OURS = (
    'stem.1.conv.weight',
    'stem.2.bn.running_mean',
    'stages.1.blocks.10.layers.4.conv.weight',
    'stages.3.blocks.2.layers.0.bn.num_batches_tracked',
    'stages.0.blocks.0.aggregate.bn.bias',
)
DEPTHWISE = (
    'stem.0.conv.weight',
    'stem.0.bn.weight',
    'stem.2.depthwise_conv.conv.weight',
    'stages.2.blocks.0.reduction.bn.bias',
    'stages.2.blocks.0.layers.1.pointwise_conv.conv.weight',
    'stages.2.blocks.0.layers.1.pointwise_conv.bn.running_var',
    'stages.2.blocks.0.gate.fc.bias',
)


def variants(name):
    return [dialect for dialect in DIALECTS if dialect.name == name]


@pytest.mark.parametrize(
    ('name', 'variant', 'ours', 'theirs'),
    [
        ('torchvision', 0, OURS, (
            'stem.stem_2/conv.weight',
            'stem.stem_3/norm.running_mean',
            'stage3.OSA3_11.layers.4.OSA3_11_4/conv.weight',
            'stage5.OSA5_3.layers.0.OSA5_3_0/norm.num_batches_tracked',
            'stage2.OSA2_1.concat.OSA2_1_concat/norm.bias',
        )),
        ('detectron2', 0, DEPTHWISE, (
            'stem.stem_1/conv.weight',
            'stem.stem_1/norm.weight',
            'stem.stem_3/dw_conv3x3.weight',
            'stage4.OSA4_1.conv_reduction.OSA4_1_reduction_0/norm.bias',
            'stage4.OSA4_1.layers.1.OSA4_1_1/pw_conv1x1.weight',
            'stage4.OSA4_1.layers.1.OSA4_1_1/pw_norm.running_var',
            'stage4.OSA4_1.ese.fc.bias',
        )),
        ('timm', 0, OURS, (
            'stem.1.conv.weight',
            'stem.2.bn.running_mean',
            'stages.1.blocks.10.conv_mid.4.conv.weight',
            'stages.3.blocks.2.conv_mid.0.bn.num_batches_tracked',
            'stages.0.blocks.0.conv_concat.bn.bias',
        )),
        ('timm', 1, DEPTHWISE, (
            'stem.0.conv.weight',
            'stem.0.bn.weight',
            'stem.2.conv_dw.weight',
            'stages.2.blocks.0.conv_reduction.bn.bias',
            'stages.2.blocks.0.conv_mid.1.conv_pw.weight',
            'stages.2.blocks.0.conv_mid.1.bn.running_var',
            'stages.2.blocks.0.attn.fc.bias',
        )),
        ('pytorchcv', 0, OURS, (
            'features.init_block.conv2.conv.weight',
            'features.init_block.conv3.bn.running_mean',
            'features.stage2.unit11.branches.branch5.conv.weight',
            'features.stage4.unit3.branches.branch1.bn.num_batches_tracked',
            'features.stage1.unit1.concat_conv.bn.bias',
        )),
        ('vision-toolbox', 0, (*OURS, DEPTHWISE[-1]), (
            'stem.1.conv.weight',
            'stem.2.norm.running_mean',
            'stages.1.module_10.convs.4.conv.weight',
            'stages.3.module_2.convs.0.norm.num_batches_tracked',
            'stages.0.module_0.out_conv.norm.bias',
            'stages.2.module_0.ese.linear.bias',
        )),
    ],
)  # fmt: skip
def test_names(name, variant, ours, theirs):
    pairs = variants(name)[variant].backbone
    assert [rename(n, pairs, to_ours=False) for n in ours] == list(theirs)
    assert [rename(n, pairs, to_ours=True) for n in theirs] == list(ours)


@pytest.mark.parametrize('dialect', DIALECTS[1:], ids=lambda d: d.name)
def test_no_two_names_are_one(dialect):
    arch = 'V-57-eSE'
    if dialect.name in ('torchvision', 'pytorchcv'):
        arch = 'V-57'
    elif dialect is variants('timm')[1]:
        arch = 'V-19-dw-eSE'
    with torch.device('meta'):
        ours = VoVNet(arch).state_dict()
    theirs = [rename(n, dialect.backbone, to_ours=False) for n in ours]
    assert None not in theirs
    assert len(set(theirs)) == len(ours)


@pytest.mark.parametrize(
    'name',
    [
        'stage2.OSA3_1.layers.0.OSA2_1_0/conv.weight',  # another stage
        'stage1.OSA1_1.concat.OSA1_1_concat/conv.weight',  # counts from 2
        'stage2.OSA2_0.ese.fc.weight',  # counts from 1
        'stem.stem_1/conv.weight.x',
    ],
)
def test_names_that_contradict_themselves(name):
    pairs = variants('detectron2')[0].backbone
    assert rename(name, pairs, to_ours=True) is None


def test_towers_skip_what_has_no_weights():
    pairs = variants('detectron2')[1].heads
    tower = 'proposal_generator.fcos_head.cls_tower'
    names = [
        rename(f'{tower}.{i}.bias', pairs, to_ours=True) for i in range(6)
    ]
    assert names == [
        'bbox_head.cls_convs.0.conv.bias',
        'bbox_head.cls_convs.0.gn.bias',
        None,
        'bbox_head.cls_convs.1.conv.bias',
        'bbox_head.cls_convs.1.gn.bias',
        None,
    ]


def test_our_defaults_are_the_authors():
    model = VoVNet('V-27-slim')
    assert (
        dict(
            stem_strides=tuple(unit.conv.stride[0] for unit in model.stem),
            pool_padding=model.pool_padding,
            identity=model.arch['identity'],
        )
        == AUTHORS
    )


def test_pixels_have_a_value_for_each_channel():
    pixels = [p for p in vars(dialects).values() if isinstance(p, Pixels)]
    assert len(pixels) == 5
    assert {len(values) for p in pixels for values in p[1:]} == {3}
    assert dialects.HALF == ('RGB', (127.5, 127.5, 127.5), (127.5,) * 3)
