"""What an exported model puts out: functions of tensors alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .describe import describe_boxes


class RawOutputs(nn.Module):
    """A backbone, detector or classifier as a function of tensors."""

    model: Any

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.whole = hasattr(model, 'data_preprocessor')
        head = getattr(model, 'bbox_head', None)
        if hasattr(model, 'roi_head' if head is None else 'query_embedding'):
            raise ValueError(
                f'a {type(model).__name__} cannot be exported: it refines '
                'proposals or queries in further stages. Export its backbone '
                'alone (--backbone), or publish it by tools/publish_model.py'
            )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map normalised images, shape (N, C, H, W), to what ``names`` says.

        A backbone's feature maps, a classifier's logits, or each level's
        outputs of a detection head.
        """
        mode = dict(mode='tensor') if self.whole else {}
        return _flatten(self.model(images, **mode))

    def names(self, outputs: tuple[Tensor, ...]) -> list[str]:
        """Name the outputs."""
        if not self.whole:
            if not hasattr(self.model, 'out_indices'):
                return [f'output{i}' for i in range(len(outputs))]
            return [f'stage{i}' for i in self.model.out_indices]
        head = getattr(self.model, 'bbox_head', None)
        if head is None:
            return ['logits']
        levels = len(head.prior_generator.strides)
        kinds = getattr(
            self.model, 'output_kinds', ('scores', 'boxes', 'factors')
        )[: len(outputs) // levels]
        return [f'{kind}{i}' for kind in kinds for i in range(levels)]


class Boxes(nn.Module):
    """A one-stage detector up to, not including, non-maximum suppression.

    Its head decodes boxes from priors as MMDetection's ``BaseDenseHead``
    does: FCOS, RetinaNet, ATSS, RTMDet, SSD. For CenterMask's ``masks``, the
    neck's maps that these need follow the boxes and scores.
    """

    model: Any

    def __init__(self, model: Any, masks: bool = False) -> None:
        super().__init__()
        self.model = model
        self.num_maps = 0
        if masks:
            from mmvovnet.models.centermask import AdaptiveRoIExtractor

            extractor = model.roi_head.mask_roi_extractor
            if not isinstance(extractor, AdaptiveRoIExtractor):
                raise ValueError(
                    'masks need an AdaptiveRoIExtractor to be exported, not a '
                    f"{type(extractor).__name__}; use outputs='boxes'"
                )
            self.num_maps = extractor.num_inputs
        if not hasattr(model, 'bbox_head') or hasattr(model, 'semantic_head'):
            raise ValueError(
                f"a {type(model).__name__} has other outputs than one stage's "
                "boxes; export it with outputs='raw'"
            )
        self._check(model.bbox_head)
        self.postprocessing = describe_boxes(model.bbox_head.test_cfg)

    def _check(self, head: Any) -> None:
        """Refuse a head whose boxes are decoded in another way than here."""
        from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

        methods = (
            'predict_by_feat',
            '_predict_by_feat_single',
            '_bbox_post_process',
        )
        if (
            any(
                getattr(type(head), name, None)
                is not getattr(BaseDenseHead, name)
                for name in methods
            )
            or getattr(head.loss_cls, 'custom_cls_channels', False)
            or not getattr(head.bbox_coder, 'clip_border', True)
        ):
            raise ValueError(
                f'boxes of a {type(head).__name__} cannot be exported: it '
                'does not decode and clip them as mmdet.BaseDenseHead does; '
                "use outputs='raw'"
            )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images, shape (N, C, H, W), to boxes, scores and maps.

        Boxes (x1, y1, x2, y2) are in pixels within the image, (N, B, 4);
        scores (N, classes, B), with 0 for what the head's ``test_cfg`` drops
        before suppression; maps (N, C, H_i, W_i).
        """
        head = self.model.bbox_head
        maps = self.model.extract_feat(images)
        levels = head(maps)
        scores = [_merge(m, head.cls_out_channels) for m in levels[0]]
        if head.use_sigmoid_cls:
            scores = [x.sigmoid() for x in scores]
        else:  # the background is last
            scores = [x.softmax(-1)[..., :-1] for x in scores]
        best = head.test_cfg.get('nms_pre', -1)
        likely = torch.cat(
            [_best(x.flatten(1), best).view_as(x) for x in scores], 1
        )
        likely = likely * (likely > head.test_cfg.get('score_thr', 0))
        if len(levels) == 3:
            factors = torch.cat([_merge(m, 1) for m in levels[2]], 1)
            likely = likely * factors.sigmoid()
        if hasattr(self.model, 'roi_head'):  # as CenterMask has it
            likely = likely.sqrt()
        width = head.bbox_coder.encode_size
        deltas = torch.cat([_merge(m, width) for m in levels[1]], 1)
        priors = torch.cat(
            head.prior_generator.grid_priors(
                [m.shape[-2:] for m in levels[0]],
                dtype=deltas.dtype,
                device=deltas.device,
            )
        )
        boxes = head.bbox_coder.decode(
            priors.repeat(images.size(0), 1), deltas.flatten(0, 1)
        )
        x = boxes[:, 0::2].clamp(min=0, max=images.shape[-1])
        y = boxes[:, 1::2].clamp(min=0, max=images.shape[-2])
        boxes = torch.stack([x, y], -1).view(images.size(0), -1, 4)
        if head.test_cfg.get('min_bbox_size', -1) == 0:
            sides = boxes[..., 2:] - boxes[..., :2]
            likely = likely * (sides > 0).all(dim=-1, keepdim=True)
        return boxes, likely.transpose(1, 2), *maps[: self.num_maps]

    def names(self, outputs: tuple[Tensor, ...]) -> list[str]:
        """Name the outputs."""
        maps = [f'map{i}' for i in range(self.num_maps)]
        return ['all_boxes', 'all_scores', *maps]


class RefinedBoxes(Boxes):
    """RefineDet up to suppression, see :class:`Boxes`."""

    def _check(self, head: Any) -> None:
        """RefineDet has one head."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """As :class:`Boxes`; boxes may leave the image."""
        *odm, scores, deltas = self.model(images, mode='tensor')
        priors, objectness = self.model.arm_head.refine(scores, deltas)
        head, cfg = self.model.bbox_head, self.model.bbox_head.test_cfg
        boxes, likely = head.candidates(*odm, priors, objectness)
        likely = _best(likely.transpose(1, 2), cfg['nms_pre'])
        return boxes, likely * (likely > cfg['score_thr'])


def _best(scores: Tensor, count: int) -> Tensor:
    """Set all but the best of the last dimension to 0."""
    if count <= 0:
        return scores
    padded = F.pad(scores, (0, count))  # of which there are enough
    return scores * (scores >= padded.topk(count).values[..., -1:])


def _merge(x: Tensor, channels: int) -> Tensor:
    """Bring a map of (N, A * channels, H, W) to (N, B, channels)."""
    return x.permute(0, 2, 3, 1).reshape(x.size(0), -1, channels)


def _flatten(outputs: Any) -> tuple[Tensor, ...]:
    if isinstance(outputs, Tensor):
        return (outputs,)
    return tuple(t for part in outputs for t in _flatten(part))
