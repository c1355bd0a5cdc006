"""The IoU of CenterMask's masks, predicted and true."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.structures.mask import BitmapMasks
from torch import Tensor


def match(
    boxes: Tensor, labels: Tensor, truth: Tensor, true_labels: Tensor
) -> Tensor:
    """Find the true object of each detection.

    Args:
        boxes (Tensor): Boxes, shape (K, 4).
        labels (Tensor): Their classes, shape (K,).
        truth (Tensor): True boxes, shape (G, 4).
        true_labels (Tensor): Their classes, shape (G,).

    Returns:
        Tensor: Index into the true objects, shape (K,): the one of the same
        class with the largest IoU of boxes, at least 0.5; -1 if there is none.

    Example:
        >>> import torch
        >>> box = torch.tensor([[0.0, 0, 9, 9]])
        >>> match(box, torch.tensor([1]), box, torch.tensor([1])).tolist()
        [0]
    """
    from mmdet.structures.bbox import bbox_overlaps

    if not len(truth):
        return torch.full((len(boxes),), -1)
    ious = bbox_overlaps(boxes, truth)
    ious = ious * (labels[:, None] == true_labels)
    best, index = ious.max(1)
    return index.where(best >= 0.5, -1)


def mask_ious(masks: Tensor, truth: Tensor) -> Tensor:
    """IoU of each mask with its true one, both bool of shape (K, H, W)."""
    both = (masks & truth).sum((1, 2))
    either = (masks | truth).sum((1, 2)).clamp(min=1)
    return both / either


@torch.no_grad()
def predicted_and_true(
    model: torch.nn.Module, data: Sequence[dict], score_thr: float = 0.3
) -> tuple[Tensor, Tensor]:
    """The IoU that a model predicts for its masks, and the IoU that they have.

    Args:
        model (nn.Module): A CenterMask in eval mode.
        data (Sequence[dict]): Images with their truth, masks included.
        score_thr (float): Detections below it are left out. Defaults to 0.3.

    Returns:
        tuple[Tensor, Tensor]: Predicted and true IoU of each detection that
        has a true object, each of shape (K,).
    """
    pairs = []
    for each in data:
        batch = {key: [value] for key, value in each.items()}
        sample = model.test_step(batch)[0]
        found = sample.pred_instances
        found = found[found.scores >= score_thr]
        truth = sample.gt_instances
        true_boxes, masks = _original(truth, sample)
        index = match(found.bboxes, found.labels, true_boxes, truth.labels)
        found, index = found[index >= 0], index[index >= 0]
        predicted = found.mask_scores / found.scores
        pairs.append((predicted, mask_ious(found.masks, masks[index])))
    predicted, true = zip(*pairs, strict=True)
    return torch.cat(predicted), torch.cat(true)


def _original(truth, sample) -> tuple[Tensor, Tensor]:
    """True boxes and masks in pixels of the original image."""
    masks: BitmapMasks = truth.masks
    if masks.masks.shape[1:] != tuple(sample.ori_shape):
        masks = masks.resize(sample.ori_shape)
    boxes = truth.bboxes
    boxes = getattr(boxes, 'tensor', boxes)
    return boxes, torch.from_numpy(masks.to_ndarray().astype(bool))


def draw_agreement(figure: Figure, predicted: Tensor, true: Tensor) -> None:
    """Draw predicted against true IoU, a point for each mask."""
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], '-', color='gray', lw=1)
    ax.plot(true, predicted, '.', ms=4, alpha=0.5)
    low = np.floor(10 * min(true.min(), predicted.min())) / 10
    correlation = np.corrcoef(true, predicted)[0, 1]
    ax.set(
        xlabel='IoU of the mask with the true one',
        ylabel='predicted IoU',
        title=f'{len(true)} masks, correlation {correlation:.2f}',
        xlim=(low, 1.02),
        ylim=(low, 1.1),
        aspect='equal',
    )
