"""The names that public code gives to the weights of a VoVNet.

A dialect is a table of pairs: our name of a weight, and the other code's. The
pairs are templates that :mod:`.adapter` reads in both directions. ``{block}``
stands for a number, ``{block+1}`` for the same number where the code counts
from one, ``{name}`` for a word, and ``{rest}`` for all that follows. The first
pair that fits a name decides.
"""

from typing import Any, NamedTuple

Pairs = tuple[tuple[str, str], ...]


class Pixels(NamedTuple):
    """What a network expects of its images."""

    order: str  # of the channels, 'RGB' or 'BGR'
    mean: tuple[float, ...]  # of 0 to 255
    std: tuple[float, ...]

    def __str__(self) -> str:
        return f'{self.order} images, mean {self.mean}, std {self.std}'


class Dialect(NamedTuple):
    """The names of one code, and what else its weights take for granted."""

    name: str  # what users call it; dialects of one name are variants
    backbone: Pairs  # names within the backbone
    pixels: Pixels | None = None  # the images it was trained on; None if any
    place: str = ''  # prefix of the backbone in a whole model of that code
    our_place: str = 'backbone.'  # and in the same model of ours
    heads: Pairs = ()  # names of the rest of a whole model
    vectors: tuple[str, ...] = ()  # our numbers that it keeps as vectors
    thing_first: tuple[str, ...] = ()  # our class of things is last, its first
    # Options of VoVNet that its networks have, and that names and shapes of
    # weights do not show; and those of its networks without gates only.
    options: dict[str, Any] = {}
    ungated: dict[str, Any] = {}
    # Archs whose published weights expect other images, and which.
    other_pixels: tuple[tuple[str, Pixels], ...] = ()

    def pixels_of(self, arch: Any) -> Pixels | None:
        """The images that its networks of an arch were trained on."""
        return dict(self.other_pixels).get(str(arch), self.pixels)

    def hidden(self, gate: str) -> dict[str, Any]:
        """Options of a network with this gate that its weights do not show."""
        ungated = self.ungated if gate == 'none' else {}
        return AUTHORS | self.options | ungated


def _table(text: str) -> Pairs:
    """Pairs from a text of two columns, our names and the other code's.

    The names of a line that is indented follow those of the last line that is
    not. ``.{name}``, such as ``.weight``, ends all.
    """
    pairs, ours, other = [], '', ''
    for line in filter(str.strip, text.splitlines()):
        a, b = line.split()
        if not line.startswith(' '):
            ours, other = a, b
        else:
            pairs.append((f'{ours}{a}.{{name}}', f'{other}{b}.{{name}}'))
    return tuple(pairs)


def _parts(units: dict[str, str], parts: str) -> Pairs:
    """Every part of every unit."""
    return _table('\n'.join(f'{a} {b}\n{parts}' for a, b in units.items()))


_MODULE = 'stages.{stage}.blocks.{block}'
_LAYER = f'{_MODULE}.layers.{{layer}}'
_AGGREGATE, _REDUCTION = f'{_MODULE}.aggregate', f'{_MODULE}.reduction'

# The authors' code, V1 and V2: every name says twice where it is.
_OSA = 'OSA{stage+2}_{block+1}'
_AUTHORS_MODULE = f'stage{{stage+2}}.{_OSA}'
_AUTHORS_3X3 = {
    'stem.{unit}': 'stem.stem_{unit+1}',
    _LAYER: f'{_AUTHORS_MODULE}.layers.{{layer}}.{_OSA}_{{layer}}',
}
_AUTHORS_1X1 = {
    _AGGREGATE: f'{_AUTHORS_MODULE}.concat.{_OSA}_concat',
    _REDUCTION: f'{_AUTHORS_MODULE}.conv_reduction.{_OSA}_reduction_0',
}
_AUTHORS_DEPTHWISE = """
    .depthwise_conv.conv  /dw_conv3x3
    .pointwise_conv.conv  /pw_conv1x1
    .pointwise_conv.bn    /pw_norm
    .conv.conv_offset     /conv_offset
"""
_AUTHORS_V1 = _parts(_AUTHORS_3X3 | _AUTHORS_1X1, '  .conv /conv\n  .bn /norm')
_AUTHORS_V2 = (
    *_AUTHORS_V1,
    *_parts(_AUTHORS_3X3, _AUTHORS_DEPTHWISE),
    *_parts({_MODULE: _AUTHORS_MODULE}, '  .gate.fc .ese.fc'),
)

# timm: dense and depthwise units share the name of their norm.
_TIMM_3X3 = {
    'stem.{unit}': 'stem.{unit}',
    _LAYER: f'{_MODULE}.conv_mid.{{layer}}',
}
_TIMM_1X1 = {
    _AGGREGATE: f'{_MODULE}.conv_concat',
    _REDUCTION: f'{_MODULE}.conv_reduction',
}
_TIMM_DENSE = '  .conv .conv\n  .bn .bn'
_TIMM_DEPTHWISE = """
    .depthwise_conv.conv  .conv_dw
    .pointwise_conv.conv  .conv_pw
    .pointwise_conv.bn    .bn
"""
_TIMM_GATE = _parts({_MODULE: _MODULE}, '  .gate.{part} .attn.{part}')

# pytorchcv counts from one; its backbone has a folder of its own.
_PYTORCHCV_MODULE = 'features.stage{stage+1}.unit{block+1}'
_PYTORCHCV = {
    'stem.{unit}': 'features.init_block.conv{unit+1}',
    _LAYER: f'{_PYTORCHCV_MODULE}.branches.branch{{layer+1}}',
    _AGGREGATE: f'{_PYTORCHCV_MODULE}.concat_conv',
}

_TOOLBOX_MODULE = 'stages.{stage}.module_{block}'
_TOOLBOX = {
    'stem.{unit}': 'stem.{unit}',
    _LAYER: f'{_TOOLBOX_MODULE}.convs.{{layer}}',
    _AGGREGATE: f'{_TOOLBOX_MODULE}.out_conv',
}


# Heads of mmpretrain's classifiers and mmdet's detectors. Classes, anchors and
# the background (last) have the same order in detectron2 and mmdet.
def _fpn(first: int) -> Pairs:
    """An FPN from P2 or P3 on; P6 and P7 have names of their own."""
    return _table(f"""
neck.fpn_convs. backbone.top_block.
    {6 - first}.conv  p6
    {7 - first}.conv  p7
neck. backbone.
    lateral_convs.{{k}}.conv  fpn_lateral{{k+{first}}}
    fpn_convs.{{k}}.conv      fpn_output{{k+{first}}}
""")


# A level of the semantic head is conv and norm, upsampling, conv and norm...
_RCNN = _table("""
rpn_head. proposal_generator.rpn_head.
    rpn_conv  conv
    rpn_cls   objectness_logits
    rpn_reg   anchor_deltas
roi_head.bbox_head. roi_heads.box_
    shared_fcs.{k}  head.fc{k+1}
    fc_cls          predictor.cls_score
    fc_reg          predictor.bbox_pred
semantic_head. sem_seg_head.
    conv_upsample_layers.{level}.conv.{k}.conv  p{level+2}.{k*2}
    conv_upsample_layers.{level}.conv.{k}.gn    p{level+2}.{k*2}.norm
    conv_logits                                 predictor
""")
# A tower of FCOS is conv, norm, ReLU, conv, norm, ReLU...
_CENTERMASK = _table("""
bbox_head. proposal_generator.fcos_head.
    cls_convs.{k}.conv  cls_tower.{k*3}
    cls_convs.{k}.gn    cls_tower.{k*3+1}
    reg_convs.{k}.conv  bbox_tower.{k*3}
    reg_convs.{k}.gn    bbox_tower.{k*3+1}
    conv_cls            cls_logits
    conv_reg            bbox_pred
    conv_centerness     ctrness
    scales.{level}      scales.{level}
roi_head.mask_head. roi_heads.mask_head.
    convs.{k}.conv          mask_fcn{k+1}
    upsample                deconv
    conv_logits             predictor
    spatial_attention.conv  spatialAtt.conv
roi_head.mask_iou_head. roi_heads.maskiou_head.
    convs.{k}    maskiou_fcn{k+1}
    fcs.{k}      maskiou_fc{k+1}
    fc_mask_iou  maskiou
""")
_ALL = (('{rest}', '{rest}'),)

IMAGENET = Pixels('RGB', (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
IMAGENET_BGR = Pixels('BGR', IMAGENET.mean[::-1], IMAGENET.std[::-1])
HALF = Pixels('RGB', (127.5,) * 3, (127.5,) * 3)
CAFFE = Pixels('BGR', (102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0))
DETECTRON2 = Pixels('BGR', IMAGENET.mean[::-1], (1.0, 1.0, 1.0))

# What names and shapes of weights do not show, of the authors' PyTorch code.
AUTHORS = dict(stem_strides=(2, 1, 2), pool_padding=0, identity=True)

OURS = Dialect(
    'mmvovnet',
    (('stem.{rest}', 'stem.{rest}'), ('stages.{rest}', 'stages.{rest}')),
    place='backbone.',
    heads=_ALL,
)
# AdelaiDet's FCOS, and CenterMask2
_FROM_P3 = Dialect(
    'detectron2',
    _AUTHORS_V2,
    DETECTRON2,
    'backbone.bottom_up.',
    heads=_fpn(3) + _CENTERMASK,
    vectors=('bbox_head.scales.{level}.scale',),
    thing_first=('semantic_head.conv_logits.{name}',),
)
_TIMM = Dialect(
    'timm',
    _parts(_TIMM_3X3 | _TIMM_1X1, _TIMM_DENSE) + _TIMM_GATE,
    IMAGENET,
    heads=(('head.fc.{name}', 'head.fc.{name}'),),
    ungated=dict(identity=False),
    other_pixels=(('V-57-eSE', HALF),),
)
DIALECTS = (
    OURS,
    Dialect(
        'torchvision',
        _AUTHORS_V1,
        IMAGENET,
        heads=(('head.fc.{name}', 'classifier.{name}'),),
    ),
    _FROM_P3,
    _FROM_P3._replace(heads=_fpn(2) + _RCNN + _CENTERMASK),
    Dialect('maskrcnn-benchmark', _AUTHORS_V2, CAFFE, 'backbone.body.'),
    Dialect(
        'mmdet3d',
        _AUTHORS_V2,
        IMAGENET_BGR,
        place='img_backbone.',
        our_place='img_backbone.',
        heads=_ALL,
    ),
    _TIMM,
    _TIMM._replace(
        backbone=(
            *_parts({'stem.0': 'stem.0'} | _TIMM_1X1, _TIMM_DENSE),
            *_parts(_TIMM_3X3, _TIMM_DEPTHWISE),
            *_TIMM_GATE,
        )
    ),
    Dialect(
        'pytorchcv',
        _parts(_PYTORCHCV, _TIMM_DENSE),
        IMAGENET,
        heads=(('head.fc.{name}', 'output.{name}'),),
    ),
    Dialect(
        'vision-toolbox',
        _parts(_TOOLBOX, '  .conv .conv\n  .bn .norm')
        + _parts({_MODULE: _TOOLBOX_MODULE}, '  .gate.fc .ese.linear'),
        IMAGENET,
        options=dict(stem_strides=(2, 1, 1), pool_padding=1, identity='every'),
    ),
)
NAMES = tuple(dict.fromkeys(dialect.name for dialect in DIALECTS))
