"""The names that public code gives to the weights of a VoVNet.

A dialect is a table of pairs: our name of a weight, and its peer's. The pairs
are templates that are read in both directions, so that a table which loads a
peer's checkpoint also writes one. ``{block}`` stands for a number,
``{block+1}`` for the same number as somebody writes it who counts from one,
``{name}`` for a word, and ``{rest}`` for all that follows. The first pair that
fits a name decides.

Which dialect a checkpoint speaks is told by its names alone: it is the one
that explains most of them.
"""

from typing import Any, NamedTuple

Pairs = tuple[tuple[str, str], ...]


class Pixels(NamedTuple):
    """What a network expects of its images.

    Args:
        order (str): The channels, 'RGB' or 'BGR'.
        mean (tuple[float]): What to subtract from each, of 0 to 255.
        std (tuple[float]): What to divide each by.
    """

    order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        return f'{self.order} images, mean {self.mean}, std {self.std}'


class Dialect(NamedTuple):
    """One code's names, and what else its weights take for granted.

    Args:
        name (str): What users call it; dialects of one name are variants.
        backbone (Pairs): Names within the backbone.
        pixels (Pixels): The images it was trained on; None if any.
        place (str): Prefix of the backbone in a whole model of that code.
        our_place (str): Prefix of the backbone in the same model of ours.
        heads (Pairs): Names of the rest of a whole model.
        constants (tuple[str]): Names in a whole model that are no weights.
        vectors (tuple[str]): Our names of numbers that it keeps as vectors.
        thing_first (tuple[str]): Our names of weights whose class of things
            is the last, and there the first.
        options (dict): Options of VoVNet that its networks have and names
            and shapes of weights do not show.
        ungated (dict): The same, of its networks without gates only.
        other_pixels (tuple): Archs whose published weights expect other
            images than ``pixels``, and which.
    """

    name: str
    backbone: Pairs
    pixels: Pixels | None = None
    place: str = ''
    our_place: str = 'backbone.'
    heads: Pairs = ()
    constants: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    thing_first: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    ungated: dict[str, Any] = {}
    other_pixels: tuple[tuple[str, Pixels], ...] = ()

    def pixels_of(self, arch: Any) -> Pixels | None:
        """The images that its networks of an arch were trained on."""
        return next(
            (p for a, p in self.other_pixels if a == arch), self.pixels
        )

    def hidden(self, gate: str) -> dict[str, Any]:
        """Options of a network with this gate that its weights do not show."""
        return (
            AUTHORS | self.options | (self.ungated if gate == 'none' else {})
        )


def _parts(units: Pairs, parts: Pairs) -> Pairs:
    """Every part of every unit."""
    return tuple(
        (our_unit + our_part, unit + part)
        for our_unit, unit in units
        for our_part, part in parts
    )


# The authors' code, V1 and V2: every name says twice where it is.
_MODULE, _AUTHORS_MODULE = (
    'stages.{stage}.blocks.{block}',
    'stage{stage+2}.OSA{stage+2}_{block+1}',
)
_AUTHORS_STEM = (('stem.{unit}', 'stem.stem_{unit+1}'),)
_AUTHORS_LAYERS = (
    (
        _MODULE + '.layers.{layer}',
        _AUTHORS_MODULE + '.layers.{layer}.OSA{stage+2}_{block+1}_{layer}',
    ),
)
_AUTHORS_1X1 = (
    (
        _MODULE + '.aggregate',
        _AUTHORS_MODULE + '.concat.OSA{stage+2}_{block+1}_concat',
    ),
    (
        _MODULE + '.reduction',
        _AUTHORS_MODULE + '.conv_reduction.OSA{stage+2}_{block+1}_reduction_0',
    ),
)
_AUTHORS_V1 = _parts(
    _AUTHORS_STEM + _AUTHORS_LAYERS + _AUTHORS_1X1,
    (('.conv.{name}', '/conv.{name}'), ('.bn.{name}', '/norm.{name}')),
)
_AUTHORS_V2 = (
    *_AUTHORS_V1,
    *_parts(
        _AUTHORS_STEM + _AUTHORS_LAYERS,
        (
            ('.depthwise_conv.conv.{name}', '/dw_conv3x3.{name}'),
            ('.pointwise_conv.conv.{name}', '/pw_conv1x1.{name}'),
            ('.pointwise_conv.bn.{name}', '/pw_norm.{name}'),
        ),
    ),
    (_MODULE + '.gate.fc.{name}', _AUTHORS_MODULE + '.ese.fc.{name}'),
    # deformable convs
    *_parts(
        _AUTHORS_LAYERS,
        (('.conv.conv_offset.{name}', '/conv_offset.{name}'),),
    ),
)

# timm: dense and depthwise units share the name of their norm.
_TIMM_STEM = (('stem.{unit}', 'stem.{unit}'),)
_TIMM_LAYERS = ((_MODULE + '.layers.{layer}', _MODULE + '.conv_mid.{layer}'),)
_TIMM_1X1 = (
    (_MODULE + '.aggregate', _MODULE + '.conv_concat'),
    (_MODULE + '.reduction', _MODULE + '.conv_reduction'),
)
_TIMM_UNIT = (
    ('.conv.{name}', '.conv.{name}'),
    ('.bn.{name}', '.bn.{name}'),
)
_TIMM_GATE = (
    (_MODULE + '.gate.{part}.{name}', _MODULE + '.attn.{part}.{name}'),
)
_TIMM = (
    *_parts(_TIMM_STEM + _TIMM_LAYERS + _TIMM_1X1, _TIMM_UNIT),
    *_TIMM_GATE,
)
_TIMM_DEPTHWISE = (
    *_parts((('stem.0', 'stem.0'), *_TIMM_1X1), _TIMM_UNIT),
    *_parts(
        _TIMM_STEM + _TIMM_LAYERS,
        (
            ('.depthwise_conv.conv.{name}', '.conv_dw.{name}'),
            ('.pointwise_conv.conv.{name}', '.conv_pw.{name}'),
            ('.pointwise_conv.bn.{name}', '.bn.{name}'),
        ),
    ),
    *_TIMM_GATE,
)

# Classifiers of mmpretrain, detectors of mmdet. Classes, anchors and the
# background (last) have the same order in detectron2 and mmdet.
_TORCHVISION_HEAD = (('head.fc.{name}', 'classifier.{name}'),)
_TIMM_HEAD = (('head.fc.{name}', 'head.fc.{name}'),)
_FPN = (
    ('neck.lateral_convs.{k}.conv.{name}', 'backbone.fpn_lateral{k+2}.{name}'),
    ('neck.fpn_convs.{k}.conv.{name}', 'backbone.fpn_output{k+2}.{name}'),
)
_RPN, _BOX, _MASK = 'proposal_generator.', 'roi_heads.box_', 'roi_heads.mask_'
_MASK_HEAD = (
    (
        'roi_head.mask_head.convs.{k}.conv.{name}',
        _MASK + 'head.mask_fcn{k+1}.{name}',
    ),
    ('roi_head.mask_head.upsample.{name}', _MASK + 'head.deconv.{name}'),
    ('roi_head.mask_head.conv_logits.{name}', _MASK + 'head.predictor.{name}'),
)
_RCNN = (
    ('rpn_head.rpn_conv.{name}', _RPN + 'rpn_head.conv.{name}'),
    ('rpn_head.rpn_cls.{name}', _RPN + 'rpn_head.objectness_logits.{name}'),
    ('rpn_head.rpn_reg.{name}', _RPN + 'rpn_head.anchor_deltas.{name}'),
    (
        'roi_head.bbox_head.shared_fcs.{k}.{name}',
        _BOX + 'head.fc{k+1}.{name}',
    ),
    ('roi_head.bbox_head.fc_cls.{name}', _BOX + 'predictor.cls_score.{name}'),
    ('roi_head.bbox_head.fc_reg.{name}', _BOX + 'predictor.bbox_pred.{name}'),
    *_MASK_HEAD,
)
# A level of the semantic head is conv and norm, upsampling, conv and norm...
_SEMANTIC_CONV, _SEG = 'semantic_head.conv_upsample_layers.', 'sem_seg_head.'
_SEMANTIC = (
    (
        _SEMANTIC_CONV + '{level}.conv.{k}.conv.{name}',
        _SEG + 'p{level+2}.{k*2}.{name}',
    ),
    (
        _SEMANTIC_CONV + '{level}.conv.{k}.gn.{name}',
        _SEG + 'p{level+2}.{k*2}.norm.{name}',
    ),
    ('semantic_head.conv_logits.{name}', _SEG + 'predictor.{name}'),
)
_FCOS = 'proposal_generator.fcos_head.'
_FPN_FROM_P3 = (
    ('neck.fpn_convs.3.conv.{name}', 'backbone.top_block.p6.{name}'),
    ('neck.fpn_convs.4.conv.{name}', 'backbone.top_block.p7.{name}'),
    ('neck.lateral_convs.{k}.conv.{name}', 'backbone.fpn_lateral{k+3}.{name}'),
    ('neck.fpn_convs.{k}.conv.{name}', 'backbone.fpn_output{k+3}.{name}'),
)
_FPN_FROM_P2 = (
    ('neck.fpn_convs.4.conv.{name}', 'backbone.top_block.p6.{name}'),
    ('neck.fpn_convs.5.conv.{name}', 'backbone.top_block.p7.{name}'),
    *_FPN,
)
_ADELAIDET = (
    # A tower is conv, norm, ReLU, conv, norm, ReLU...
    ('bbox_head.cls_convs.{k}.conv.{name}', _FCOS + 'cls_tower.{k*3}.{name}'),
    ('bbox_head.cls_convs.{k}.gn.{name}', _FCOS + 'cls_tower.{k*3+1}.{name}'),
    ('bbox_head.reg_convs.{k}.conv.{name}', _FCOS + 'bbox_tower.{k*3}.{name}'),
    ('bbox_head.reg_convs.{k}.gn.{name}', _FCOS + 'bbox_tower.{k*3+1}.{name}'),
    ('bbox_head.conv_cls.{name}', _FCOS + 'cls_logits.{name}'),
    ('bbox_head.conv_reg.{name}', _FCOS + 'bbox_pred.{name}'),
    ('bbox_head.conv_centerness.{name}', _FCOS + 'ctrness.{name}'),
    ('bbox_head.scales.{level}.scale', _FCOS + 'scales.{level}.scale'),
)
_IOU, _MASK_IOU = 'roi_head.mask_iou_head.', 'roi_heads.maskiou_head.'
_CENTERMASK = (
    *_ADELAIDET,
    *_MASK_HEAD,
    (
        'roi_head.mask_head.spatial_attention.conv.{name}',
        _MASK + 'head.spatialAtt.conv.{name}',
    ),
    (_IOU + 'convs.{k}.{name}', _MASK_IOU + 'maskiou_fcn{k+1}.{name}'),
    (_IOU + 'fcs.{k}.{name}', _MASK_IOU + 'maskiou_fc{k+1}.{name}'),
    (_IOU + 'fc_mask_iou.{name}', _MASK_IOU + 'maskiou.{name}'),
)
_SCALES = ('bbox_head.scales.{level}.scale',)
_STUFF_AND_THINGS = ('semantic_head.conv_logits.{name}',)
_DETECTRON2_CONSTANTS = (
    'pixel_mean',
    'pixel_std',
    'proposal_generator.anchor_generator.cell_anchors.{level}',
)

# pytorchcv counts from one; its backbone has a folder of its own.
_PYTORCHCV_UNIT = 'features.stage{stage+1}.unit{block+1}'
_PYTORCHCV = _parts(
    (
        ('stem.{unit}', 'features.init_block.conv{unit+1}'),
        (
            _MODULE + '.layers.{layer}',
            _PYTORCHCV_UNIT + '.branches.branch{layer+1}',
        ),
        (_MODULE + '.aggregate', _PYTORCHCV_UNIT + '.concat_conv'),
    ),
    _TIMM_UNIT,
)

_TOOLBOX_MODULE = 'stages.{stage}.module_{block}'
_TOOLBOX = (
    *_parts(
        (
            ('stem.{unit}', 'stem.{unit}'),
            (_MODULE + '.layers.{layer}', _TOOLBOX_MODULE + '.convs.{layer}'),
            (_MODULE + '.aggregate', _TOOLBOX_MODULE + '.out_conv'),
        ),
        (('.conv.{name}', '.conv.{name}'), ('.bn.{name}', '.norm.{name}')),
    ),
    (_MODULE + '.gate.fc.{name}', _TOOLBOX_MODULE + '.ese.linear.{name}'),
)

IMAGENET = Pixels('RGB', (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
IMAGENET_BGR = Pixels('BGR', IMAGENET.mean[::-1], IMAGENET.std[::-1])
HALF = Pixels('RGB', (127.5,) * 3, (127.5,) * 3)
CAFFE = Pixels('BGR', (102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0))
DETECTRON2 = Pixels('BGR', IMAGENET.mean[::-1], (1.0, 1.0, 1.0))

# What names and shapes of weights do not show, of the authors' PyTorch code.
AUTHORS = dict(stem_strides=(2, 1, 2), pool_padding=0, identity=True)

DIALECTS = (
    Dialect(
        'mmvovnet',
        (('stem.{rest}', 'stem.{rest}'), ('stages.{rest}', 'stages.{rest}')),
        place='backbone.',
        heads=(('{rest}', '{rest}'),),
    ),
    Dialect('torchvision', _AUTHORS_V1, IMAGENET, heads=_TORCHVISION_HEAD),
    Dialect(
        'detectron2',
        _AUTHORS_V2,
        DETECTRON2,
        'backbone.bottom_up.',
        heads=_FPN + _RCNN + _SEMANTIC,
        constants=_DETECTRON2_CONSTANTS,
        thing_first=_STUFF_AND_THINGS,
    ),
    # AdelaiDet's FCOS and CenterMask2
    Dialect(
        'detectron2',
        _AUTHORS_V2,
        DETECTRON2,
        'backbone.bottom_up.',
        heads=_FPN_FROM_P3 + _CENTERMASK,
        constants=_DETECTRON2_CONSTANTS,
        vectors=_SCALES,
    ),
    # Panoptic-CenterMask
    Dialect(
        'detectron2',
        _AUTHORS_V2,
        DETECTRON2,
        'backbone.bottom_up.',
        heads=_FPN_FROM_P2 + _CENTERMASK + _SEMANTIC,
        constants=_DETECTRON2_CONSTANTS,
        vectors=_SCALES,
        thing_first=_STUFF_AND_THINGS,
    ),
    Dialect('maskrcnn-benchmark', _AUTHORS_V2, CAFFE, 'backbone.body.'),
    Dialect(
        'mmdet3d',
        _AUTHORS_V2,
        IMAGENET_BGR,
        place='img_backbone.',
        our_place='img_backbone.',
        heads=(('{rest}', '{rest}'),),
    ),
    Dialect(
        'timm',
        _TIMM,
        IMAGENET,
        heads=_TIMM_HEAD,
        ungated=dict(identity=False),
        other_pixels=(('V-57-eSE', HALF),),
    ),
    Dialect(
        'timm',
        _TIMM_DEPTHWISE,
        IMAGENET,
        heads=_TIMM_HEAD,
        ungated=dict(identity=False),
    ),
    Dialect(
        'pytorchcv',
        _PYTORCHCV,
        IMAGENET,
        heads=(('head.fc.{name}', 'output.{name}'),),
    ),
    Dialect(
        'vision-toolbox',
        _TOOLBOX,
        IMAGENET,
        options=dict(stem_strides=(2, 1, 1), pool_padding=1, identity='every'),
    ),
)
