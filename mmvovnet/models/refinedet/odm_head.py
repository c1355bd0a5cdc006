"""The object detection module of RefineDet."""

import torch
from mmdet.utils import InstanceList, OptInstanceList
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmvovnet.registry import MODELS

from .multibox_head import MultiBoxHead


@MODELS.register_module()
class ODMHead(MultiBoxHead):
    """Classifies refined anchors, and refines them once more.

    Its ``test_cfg`` follows the authors' Caffe code: in each class the
    ``nms_pre`` best boxes with a score above ``score_thr`` go into
    suppression, and the ``max_per_img`` best of all classes are left.

    Args:
        objectness_thr (float): Refined anchors with a lower probability of an
            object are no negatives in training and background in inference
            (arXiv 1711.06897, section 3.2, "negative anchor filtering").
            Defaults to 0.01.
        **kwargs: As for ``MultiBoxHead``.
    """

    def __init__(self, objectness_thr: float = 0.01, **kwargs) -> None:
        super().__init__(**kwargs)
        self.objectness_thr = objectness_thr

    def loss_by_feat(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        priors: Tensor,
        objectness: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of the head's outputs.

        Args:
            scores (list[Tensor]): What :meth:`forward` returns.
            deltas (list[Tensor]): What :meth:`forward` returns.
            priors (Tensor): Refined anchors in pixels, (N, P, 4).
            objectness (Tensor): Their probability of an object, (N, P).
            batch_gt_instances (list[InstanceData]): The truth.
            batch_img_metas (list[dict]): Not used.
            batch_gt_instances_ignore (list[InstanceData], optional): Objects
                to ignore.
        """
        ignored = batch_gt_instances_ignore or [None] * len(priors)
        loss_cls, loss_bbox = self.multibox_loss(
            *self.flatten(scores, deltas),
            priors,
            batch_gt_instances,
            ignored,
            candidates=objectness >= self.objectness_thr,
        )
        return dict(loss_odm_cls=loss_cls, loss_odm_bbox=loss_bbox)

    def candidates(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        priors: Tensor,
        objectness: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """All boxes, (N, P, 4), and their scores, (N, P, num_classes)."""
        logits, offsets = self.flatten(scores, deltas)
        likely = logits.softmax(-1)[..., :-1]
        likely = likely * (objectness >= self.objectness_thr).unsqueeze(-1)
        return self.decode(priors, offsets), likely

    def predict_by_feat(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        priors: Tensor,
        objectness: Tensor,
        batch_img_metas: list[dict],
        cfg: ConfigDict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceList:
        """Detect in a batch; arguments as in :meth:`loss_by_feat`.

        Returns:
            list[InstanceData]: ``bboxes``, ``scores`` and ``labels``.
        """
        cfg = cfg or self.test_cfg
        candidates = self.candidates(scores, deltas, priors, objectness)
        results = []
        for boxes, likely, meta in zip(
            *candidates, batch_img_metas, strict=True
        ):
            result = self._bbox_post_process(
                _best(boxes, likely, cfg),
                cfg,
                rescale=rescale,
                with_nms=with_nms,
                img_meta=meta,
            )
            # Boxes overlap as they are, and are clipped when they are put
            # out, as in Caffe (clip_bbox is false there).
            height, width = meta['ori_shape' if rescale else 'img_shape'][:2]
            x, y = result.bboxes[:, ::2], result.bboxes[:, 1::2]
            x, y = x.clamp(0, width), y.clamp(0, height)
            result.bboxes = torch.stack([x, y], -1).flatten(1)
            results.append(result)
        return results


def _best(boxes: Tensor, scores: Tensor, cfg: ConfigDict) -> InstanceData:
    """The best boxes of each class.

    Args:
        boxes (Tensor): (P, 4).
        scores (Tensor): (P, num_classes).
        cfg (ConfigDict): ``nms_pre`` and ``score_thr``.
    """
    best, index = scores.topk(min(cfg['nms_pre'], len(scores)), dim=0)
    kept = (best > cfg['score_thr']).nonzero(as_tuple=True)
    return InstanceData(
        bboxes=boxes[index[kept]], scores=best[kept], labels=kept[1]
    )
