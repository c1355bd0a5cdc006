"""Suppression and CenterMask's masks, as functions of tensors alone."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms, roi_align

from .outputs import Boxes


class Detections(nn.Module):
    """What suppression, and CenterMask's masks, make of :class:`Boxes`."""

    def __init__(self, front: Boxes) -> None:
        super().__init__()
        self.info = front.postprocessing
        self.names = ['boxes', 'scores', 'labels', 'image_ids']
        self.roi_head = None
        if front.num_maps:
            self.roi_head = front.model.roi_head
            self.names += ['masks', 'mask_scores']

    def forward(self, *before: Tensor) -> tuple[Tensor, ...]:
        """Map boxes, scores and maps to what ``names`` says of K detections.

        Boxes (K, 4), scores (K,), labels (K,) and the places of their images
        in the batch (K,); with maps also what :func:`find_masks` gives.
        """
        all_boxes, all_scores, *maps = before
        candidates = all_scores
        if self.info['class_agnostic']:
            # A box keeps its best class alone, as it overlaps itself.
            candidates = all_scores.amax(1, keepdim=True)
        kept = torch.ops.mmvovnet.suppress(
            all_boxes,
            candidates,
            self.info['max_per_img'],
            self.info['iou_threshold'],
        )
        image_ids, labels, index = kept.unbind(1)
        boxes = all_boxes[image_ids, index]
        scores = candidates[image_ids, labels, index]
        if self.info['class_agnostic']:
            labels = all_scores.argmax(1)[image_ids, index]
        found = boxes, scores, labels, image_ids
        if self.roi_head is None:
            return found
        return *found, *find_masks(self.roi_head, maps, *found)


def find_masks(
    roi_head: Any,
    maps: Sequence[Tensor],
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    image_ids: Tensor,
) -> tuple[Tensor, Tensor]:
    """Map levels (N, C, H_i, W_i) and K boxes to CenterMask's masks.

    These are probabilities of shape (K, 28, 28), and scores (K,).

    Torchvision's ``roi_align`` becomes ONNX's, unlike mmcv's. Each box is cut
    from all levels and one of them is taken, so that nothing depends on where
    the boxes lie. The image of the level rule is the whole input, padding too.
    """
    extractor = roi_head.mask_roi_extractor
    rois = torch.cat([image_ids[:, None].to(boxes.dtype), boxes], 1)
    stride = extractor.featmap_strides[0]
    height, width = maps[0].shape[-2:]
    area = boxes.new_ones(1) * (height * width * stride**2)
    levels = extractor.map_roi_levels(rois, area)
    feats: Any = 0
    for i, (layer, x) in enumerate(
        zip(extractor.roi_layers, maps, strict=True)
    ):
        cut = roi_align(
            x,
            rois,
            layer.output_size,
            layer.spatial_scale,
            layer.sampling_ratio,
            layer.aligned,
        )
        feats = feats + cut * (levels == i)[:, None, None, None]
    logits = roi_head.mask_head(feats)
    index = labels[:, None, None, None].expand(-1, 1, *logits.shape[2:])
    mask = logits.gather(1, index)[:, 0]
    if roi_head.mask_iou_head is not None:
        ious = roi_head.mask_iou_head(feats, mask)
        scores = scores * ious.gather(1, labels[:, None])[:, 0]
    return mask.sigmoid(), scores


@torch.library.custom_op('mmvovnet::suppress', mutates_args=())
def suppress(
    boxes: Tensor, scores: Tensor, limit: int, iou_threshold: float
) -> Tensor:
    """Compute ONNX's ``NonMaxSuppression``.

    Of boxes (N, B, 4) with positive scores (N, classes, B) at most ``limit``
    stay of a class in an image: a row (image, class, box) of each.
    """
    rows = [torch.empty(0, 3, dtype=torch.long)]
    for image in range(scores.size(0)):
        for label in range(scores.size(1)):
            index = scores[image, label].nonzero()[:, 0]
            likely = scores[image, label, index]
            kept = nms(boxes[image, index], likely, iou_threshold)[:limit]
            row = F.pad(index[kept][:, None], (1, 0), value=label)
            rows.append(F.pad(row, (1, 0), value=image))
    return torch.cat(rows)


@suppress.register_fake
def _(
    boxes: Tensor, scores: Tensor, limit: int, iou_threshold: float
) -> Tensor:
    count = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((count, 3), dtype=torch.long)


def onnx_suppress(boxes: Any, scores: Any, limit: int, iou: float) -> Any:
    """Give :func:`suppress` in ONNX, for its exporter."""
    from onnxscript import opset18

    op: Any = opset18
    return op.NonMaxSuppression(
        boxes,
        scores,
        op.Constant(value_ints=[limit]),
        op.Constant(value_floats=[iou]),
        op.Constant(value_floats=[0.0]),
    )
