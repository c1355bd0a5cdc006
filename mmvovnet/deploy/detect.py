"""Detection with an exported file, and its picture."""

from collections.abc import Sequence

import mmcv
import numpy as np
import torch
from mmengine.visualization import Visualizer
from torch import Tensor
from torchvision.ops import batched_nms

from .runtime import Exported


class Detector:
    """An exported detector as a function of an image.

    Args:
        exported (Exported): A file with outputs 'boxes' or 'detections', and
            the metadata of :func:`mmvovnet.deploy.describe_model`.

    Raises:
        ValueError: If the file has other outputs.
    """

    def __init__(self, exported: Exported) -> None:
        kind = exported.metadata['kind']
        if kind not in ('boxes', 'detections'):
            raise ValueError(
                f"the file's outputs are {kind!r}; detection needs one that "
                "was exported with outputs='boxes' or 'detections'"
            )
        self.exported = exported

    def __call__(self, image: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Detect objects as MMDetection does: resize, normalise, pad, run.

        Args:
            image (np.ndarray): uint8 of shape (H, W, 3), BGR.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Boxes (x1, y1, x2, y2) in pixels,
            shape (K, 4), scores, shape (K,), and labels, int64 of shape
            (K,), best first.
        """
        info = self.exported.metadata
        resized = mmcv.imrescale(image, tuple(info['scale']))
        height, width = resized.shape[:2]
        pixels = mmcv.imnormalize(
            resized,
            np.array(info['mean']),
            np.array(info['std']),
            to_rgb=info['order'] == 'RGB',
        )
        padded = mmcv.impad_to_multiple(pixels, info['divisor'])
        images = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None]
        out = self.exported(images.float())
        if info['kind'] == 'boxes':
            labels, index = out['all_scores'][0].nonzero(as_tuple=True)
            boxes = out['all_boxes'][0, index]
            scores = out['all_scores'][0, labels, index]
            keep = batched_nms(boxes, scores, labels, info['iou_threshold'])
            boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        else:
            boxes, scores, labels = out['boxes'], out['scores'], out['labels']
        scores, best = scores.sort(descending=True, stable=True)
        best = best[: info['max_per_img']]
        boxes = boxes[best].reshape(-1, 2, 2)
        boxes = boxes.clamp(max=boxes.new_tensor([width, height]))
        boxes *= boxes.new_tensor(
            [image.shape[1] / width, image.shape[0] / height]
        )
        return boxes.flatten(1), scores[: len(best)], labels[best]


def draw(
    image: np.ndarray,
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    classes: Sequence[str],
) -> np.ndarray:
    """Draw detections.

    Args:
        image (np.ndarray): uint8 of shape (H, W, 3), BGR.
        boxes (Tensor): (x1, y1, x2, y2) in pixels, shape (K, 4).
        scores (Tensor): Shape (K,).
        labels (Tensor): Indices into ``classes``, shape (K,).
        classes (Sequence[str]): Names.

    Returns:
        np.ndarray: A picture of the image's shape, BGR.
    """
    painter = Visualizer(image=mmcv.bgr2rgb(image))
    if len(boxes):
        painter.draw_bboxes(boxes, edge_colors='lime')
        painter.draw_texts(
            [
                f'{classes[label]} {score:.2f}'
                for label, score in zip(
                    labels.tolist(), scores.tolist(), strict=True
                )
            ],
            boxes[:, :2],
            font_sizes=8,
            colors='black',
            bboxes=dict(facecolor='lime', alpha=0.7, pad=1, linewidth=0),
        )
    return mmcv.rgb2bgr(painter.get_image())
