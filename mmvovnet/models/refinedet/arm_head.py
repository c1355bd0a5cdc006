"""The anchor refinement module of RefineDet."""

import torch
from mmdet.utils import InstanceList, OptInstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmvovnet.registry import MODELS

from .multibox_head import MultiBoxHead


@MODELS.register_module()
class ARMHead(MultiBoxHead):
    """Separates objects from background, and moves anchors towards objects.

    Args:
        **kwargs: As for ``MultiBoxHead``, without ``num_classes``.

    Example:
        >>> anchors = dict(
        ...     type='AnchorGenerator', strides=[8], ratios=[1.0], scales=[4]
        ... )
        >>> head = ARMHead(in_channels=[16], anchor_generator=anchors)
        >>> boxes, objectness = head.refine(*head([torch.rand(1, 16, 2, 2)]))
        >>> boxes.shape, objectness.shape
        (torch.Size([1, 4, 4]), torch.Size([1, 4]))
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(num_classes=1, **kwargs)

    def anchors(self, maps: list[Tensor]) -> Tensor:
        """The anchors of maps, (P, 4) in pixels."""
        sizes = [x.shape[2:] for x in maps]
        levels = self.prior_generator.grid_priors(sizes, device=maps[0].device)
        return torch.cat(levels)

    @torch.no_grad()
    def refine(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        anchors: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode the head's outputs, without gradients.

        Args:
            scores (list[Tensor]): What :meth:`forward` returns.
            deltas (list[Tensor]): What :meth:`forward` returns.
            anchors (Tensor, optional): What :meth:`anchors` returns.

        Returns:
            tuple[Tensor, Tensor]: Refined anchors in pixels, (N, P, 4), and
            the probability of an object in each, (N, P).
        """
        anchors = self.anchors(scores)
        logits, offsets = self.flatten(scores, deltas)
        boxes = self.decode(anchors.expand_as(offsets), offsets)
        return boxes, logits.softmax(-1)[..., 0]

    def loss_by_feat(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
        anchors: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of the head's outputs; see :meth:`refine`."""
        anchors = self.anchors(scores) if anchors is None else anchors
        logits, offsets = self.flatten(scores, deltas)
        objects = [
            InstanceData(bboxes=t.bboxes, labels=torch.zeros_like(t.labels))
            for t in batch_gt_instances
        ]
        ignored = batch_gt_instances_ignore or [None] * len(objects)
        loss_cls, loss_bbox = self.multibox_loss(
            logits, offsets, anchors.expand_as(offsets), objects, ignored
        )
        return dict(loss_arm_cls=loss_cls, loss_arm_bbox=loss_bbox)
