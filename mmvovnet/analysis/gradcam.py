"""A detector or classifier as a function that Grad-CAM can explain."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class GradCAMWrapper(nn.Module):
    """A model as Grad-CAM wants it: from a tensor to one answer per image."""

    def __init__(self, model: nn.Module, samples: list) -> None:
        super().__init__()
        self.model: Any = model
        self.samples = samples

    def forward(self, x: Tensor) -> Tensor | list[Any]:
        """Give what scores are made of, with its gradient.

        Returns:
            Logits of shape (N, classes); or for the one image of a detector
            its logits, shape (positions, classes), or its detections.
        """
        if hasattr(self.model, 'roi_head'):
            return [self._detect(x)]
        if not hasattr(self.model, 'bbox_head'):
            return self.model.head(self.model.extract_feat(x))
        # A one-stage detector of mmdet cuts the gradient of its detections.
        return [torch.cat([self._rows(m) for m in self._maps(x)])]

    def _maps(self, x: Tensor) -> list[Tensor]:
        return self.model(x, mode='tensor')[0]

    def _rows(self, logits: Tensor) -> Tensor:
        """Lay out a level's logits, shape (positions * anchors, classes)."""
        classes = self.model.bbox_head.cls_out_channels
        return logits[0].permute(1, 2, 0).reshape(-1, classes)

    def _detect(self, x: Tensor) -> Any:
        (sample,) = self.model.predict(x, self.samples, rescale=False)
        return sample.pred_instances

    def target(self, x: Tensor) -> tuple[int, float, list[float], Callable]:
        """Give the label, its score, its box and what Grad-CAM explains."""
        if hasattr(self.model, 'head'):
            scores = self(x)[0].softmax(0)
            label = int(scores.argmax())
            return label, float(scores[label]), [], lambda out: out[label]
        found = self._detect(x)
        if not len(found):
            raise ValueError(
                'the detector finds nothing in this image, so that there is '
                'nothing to explain; take another image or checkpoint'
            )
        best = found[int(found.scores.argmax())]
        label, box = int(best.labels), best.bboxes[0].tolist()
        if hasattr(self.model, 'roi_head'):
            return label, float(best.scores), box, lambda out: out.scores.max()
        rows = self._inside(box, x)
        return (
            label,
            float(best.scores),
            box,
            lambda out: out[rows, label].max(),
        )

    def _inside(self, box: list[float], x: Tensor) -> Tensor:
        """Find the logits of positions in a box, or all if it has none."""
        x1, y1, x2, y2 = box
        inside = []
        for logits in self._maps(x):
            height, width = logits.shape[2:]
            ys = (torch.arange(height) + 0.5) * x.shape[2] / height
            xs = (torch.arange(width) + 0.5) * x.shape[3] / width
            here = ((y1 <= ys) & (ys <= y2))[:, None] & (x1 <= xs) & (xs <= x2)
            anchors = len(self._rows(logits)) // here.numel()
            inside.append(here.flatten().repeat_interleave(anchors))
        rows = torch.cat(inside)
        return rows if rows.any() else ~rows
