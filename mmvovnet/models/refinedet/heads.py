"""The two heads of RefineDet."""

from collections.abc import Sequence
from functools import partial

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.utils import InstanceList, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvovnet.registry import MODELS

from .neck import residual_block


class MultiBoxHead(AnchorHead):
    """Class scores and box offsets for each prior, and SSD's loss on them.

    See :class:`ODMHead` for the options, and :class:`RefineDet` for
    ``train_cfg``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        planes: int | None = 256,
        bbox_coder: dict = dict(  # noqa: B006
            type='DeltaXYWHBBoxCoder', target_stds=(0.1, 0.1, 0.2, 0.2)
        ),
        loss_cls: dict = dict(type='CrossEntropyLoss'),  # noqa: B006
        loss_bbox: dict = dict(type='SmoothL1Loss'),  # noqa: B006
        init_cfg: dict | list[dict] | None = None,
        **kwargs,
    ) -> None:
        self.planes = planes
        super().__init__(
            num_classes,
            in_channels,
            bbox_coder=bbox_coder,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            init_cfg=init_cfg
            or dict(
                type='Xavier',
                layer='Conv2d',
                distribution='uniform',
                override=[
                    dict(type='Normal', layer='Conv2d', std=0.01, name=name)
                    for name in ('score_convs', 'delta_convs')
                ],
            ),
            **kwargs,
        )

    def _init_layers(self) -> None:
        self.bodies = nn.ModuleList()
        self.score_convs = nn.ModuleList()
        self.delta_convs = nn.ModuleList()
        for channels, priors in zip(
            self.in_channels, self.prior_generator.num_base_priors, strict=True
        ):
            body = nn.Identity()
            if self.planes:
                body = residual_block(channels, self.planes)
                channels = self.planes * body.expansion
            self.bodies.append(body)
            conv = partial(nn.Conv2d, channels, kernel_size=3, padding=1)
            self.score_convs.append(conv(priors * self.cls_out_channels))
            self.delta_convs.append(conv(priors * 4))

    def forward(
        self, maps: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict logits and offsets from maps, (N, in_channels[i], H, W).

        For A priors at each place logits are (N, A * (num_classes + 1), H, W),
        the background's last, and offsets (N, A * 4, H, W).
        """
        maps = [body(x) for body, x in zip(self.bodies, maps, strict=True)]
        scores, deltas = (
            [conv(x) for conv, x in zip(convs, maps, strict=True)]
            for convs in (self.score_convs, self.delta_convs)
        )
        return scores, deltas

    def flatten(
        self, scores: list[Tensor], deltas: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Lay all P priors in a row, (N, P, C), in single precision."""

        def row(maps: list[Tensor], channels: int) -> Tensor:
            rows = [
                x.permute(0, 2, 3, 1).reshape(x.size(0), -1, channels)
                for x in maps
            ]
            return torch.cat(rows, dim=1).float()

        return row(scores, self.cls_out_channels), row(deltas, 4)

    def decode(self, priors: Tensor, deltas: Tensor) -> Tensor:
        """Apply offsets to priors, both of shape (N, P, 4)."""
        boxes = self.bbox_coder.decode(
            priors.flatten(0, 1), deltas.flatten(0, 1)
        )
        return boxes.view_as(deltas)

    def multibox_loss(
        self,
        scores: Tensor,
        deltas: Tensor,
        priors: Tensor,
        truths: InstanceList,
        ignored: list[InstanceData | None],
        candidates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Match, choose the hard negatives, and add up.

        Takes logits (N, P, num_classes + 1), offsets and priors in pixels
        (N, P, 4), and which priors may be negatives, bool (N, P). The sums,
        of classes and boxes, are divided by the number of positive priors in
        the batch, on average over the processes; without any, they are zero.
        """
        found = list(map(self._targets, priors, truths, ignored))
        labels = torch.stack([labels for labels, _ in found])
        targets = torch.stack([targets for _, targets in found])
        negative = labels.eq(self.num_classes)
        positive = (labels >= 0) & ~negative
        if candidates is not None:
            negative &= candidates

        losses = self.loss_cls(
            scores.flatten(0, 1),
            labels.flatten(),
            ignore_index=-1,
            reduction_override='none',
        ).view_as(labels)
        ratio = self.train_cfg['neg_pos_ratio']
        counts = ratio * positive.sum(1, keepdim=True)
        ranked = losses.detach().masked_fill(~negative, -1)
        ranks = ranked.argsort(1, descending=True).argsort(1)
        chosen = positive | (negative & (ranks < counts))
        total = reduce_mean(positive.sum().float()).clamp(min=1e-6)
        # Sums of what is marked: to pick it out, the host would wait for its
        # number.
        boxes = self.loss_bbox(deltas, targets, reduction_override='none')
        return (
            losses.where(chosen, 0).sum() / total,
            boxes.where(positive[..., None], 0).sum() / total,
        )

    @torch.no_grad()
    def _targets(
        self, priors: Tensor, truth: InstanceData, ignored: InstanceData | None
    ) -> tuple[Tensor, Tensor]:
        """Labels (P,), -1 where ignored, and offsets (P, 4) of an image."""
        found = self.assigner.assign(
            InstanceData(priors=priors), truth, ignored
        )
        matched = found.gt_inds > 0
        labels = found.gt_inds.where(found.gt_inds < 0, self.num_classes)
        objects = torch.cat([priors[:1], truth.bboxes])[found.gt_inds.relu()]
        targets = self.bbox_coder.encode(priors, objects)
        return (
            found.labels.where(matched, labels),
            targets.where(matched[:, None], 0),
        )


@MODELS.register_module()
class ARMHead(MultiBoxHead):
    """Separates objects from background, and moves anchors towards objects.

    Options are those of :class:`ODMHead`, without ``num_classes`` and
    ``objectness_thr``.

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
        self, scores: list[Tensor], deltas: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Refined anchors, (N, P, 4), and their probability of an object."""
        anchors = self.anchors(scores)
        logits, offsets = self.flatten(scores, deltas)
        boxes = self.decode(anchors.expand_as(offsets), offsets)
        return boxes, logits.softmax(-1)[..., 0]

    def loss_by_feat(
        self,
        scores: list[Tensor],
        deltas: list[Tensor],
        truths: InstanceList,
        ignored: list[InstanceData | None],
    ) -> dict[str, Tensor]:
        """Compute the losses of what :meth:`forward` returns."""
        anchors = self.anchors(scores)
        logits, offsets = self.flatten(scores, deltas)
        objects = [
            InstanceData(bboxes=t.bboxes, labels=torch.zeros_like(t.labels))
            for t in truths
        ]
        loss_cls, loss_bbox = self.multibox_loss(
            logits, offsets, anchors.expand_as(offsets), objects, ignored
        )
        return dict(loss_arm_cls=loss_cls, loss_arm_bbox=loss_bbox)


@MODELS.register_module()
class ODMHead(MultiBoxHead):
    """Classifies refined anchors, and refines them once more.

    Its ``test_cfg`` follows the authors' Caffe code: in each class the
    ``nms_pre`` best boxes with a score above ``score_thr`` go into
    suppression, and the ``max_per_img`` best of all classes are left.

    Args:
        objectness_thr: Refined anchors with a lower probability of an object
            are no negatives in training and background in inference (arXiv
            1711.06897, section 3.2, "negative anchor filtering").
        num_classes: Classes without the background.
        in_channels: Channels of each map.
        planes: Planes of the residual block in front of the predictors, which
            then read four times as many channels; None is no block, as on
            VGG.
        **kwargs: As for mmdet's heads.
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
        truths: InstanceList,
        ignored: list[InstanceData | None],
    ) -> dict[str, Tensor]:
        """Compute the losses of what :meth:`forward` returns.

        ``priors`` are refined anchors in pixels, (N, P, 4), ``objectness``
        their probability of an object, (N, P).
        """
        loss_cls, loss_bbox = self.multibox_loss(
            *self.flatten(scores, deltas),
            priors,
            truths,
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
        rescale: bool = False,
    ) -> InstanceList:
        """Detect in a batch; arguments as in :meth:`loss_by_feat`."""
        cfg = self.test_cfg
        candidates = self.candidates(scores, deltas, priors, objectness)
        results = []
        for boxes, likely, meta in zip(
            *candidates, batch_img_metas, strict=True
        ):
            best, index = likely.topk(min(cfg['nms_pre'], len(likely)), dim=0)
            kept = (best > cfg['score_thr']).nonzero(as_tuple=True)
            found = InstanceData(
                bboxes=boxes[index[kept]], scores=best[kept], labels=kept[1]
            )
            result = self._bbox_post_process(
                found, cfg, rescale=rescale, img_meta=meta
            )
            # Boxes overlap as they are, and are clipped when they are put
            # out, as in Caffe (clip_bbox is false there).
            height, width = meta['ori_shape' if rescale else 'img_shape'][:2]
            x, y = result.bboxes[:, ::2], result.bboxes[:, 1::2]
            x, y = x.clamp(0, width), y.clamp(0, height)
            result.bboxes = torch.stack([x, y], -1).flatten(1)
            results.append(result)
        return results
