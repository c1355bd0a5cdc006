"""What both heads of RefineDet have in common."""

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.registry import TASK_UTILS
from mmdet.utils import InstanceList, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn

from .residual import residual_block


class MultiBoxHead(BaseDenseHead):
    """Class scores and box offsets for each prior, and SSD's loss on them.

    Args:
        num_classes (int): Classes without the background.
        in_channels (Sequence[int]): Channels of each map.
        anchor_generator (dict): mmdet's; one level for each map.
        planes (int, optional): Planes of the residual block in front of the
            predictors, which then read four times as many channels; None is
            no block, as on VGG. Defaults to 256.
        bbox_coder (dict): mmdet's. Defaults to offsets with SSD's variances.
        loss_cls (dict): mmdet's. Defaults to softmax cross entropy.
        loss_bbox (dict): mmdet's. Defaults to smooth L1.
        train_cfg (dict, optional): ``assigner``, and ``neg_pos_ratio``, hard
            negatives for each positive prior.
        test_cfg (dict, optional): See :class:`ODMHead`.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to
            None: Xavier, and a normal distribution for the predictors.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        anchor_generator: dict,
        planes: int | None = 256,
        bbox_coder: dict = dict(  # noqa: B006
            type='DeltaXYWHBBoxCoder', target_stds=(0.1, 0.1, 0.2, 0.2)
        ),
        loss_cls: dict = dict(type='CrossEntropyLoss'),  # noqa: B006
        loss_bbox: dict = dict(type='SmoothL1Loss'),  # noqa: B006
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            init_cfg
            or dict(
                type='Xavier',
                layer='Conv2d',
                distribution='uniform',
                override=[
                    dict(type='Normal', layer='Conv2d', std=0.01, name=name)
                    for name in ('score_convs', 'delta_convs')
                ],
            )
        )
        self.num_classes = num_classes
        self.cls_out_channels = num_classes + 1
        self.prior_generator = TASK_UTILS.build(anchor_generator)
        self.bbox_coder = TASK_UTILS.build(bbox_coder)
        self.loss_cls = MMDET_MODELS.build(loss_cls)
        self.loss_bbox = MMDET_MODELS.build(loss_bbox)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        if train_cfg:
            self.neg_pos_ratio = train_cfg['neg_pos_ratio']
            self.assigner = TASK_UTILS.build(train_cfg['assigner'])
        self.bodies = nn.ModuleList()
        self.score_convs = nn.ModuleList()
        self.delta_convs = nn.ModuleList()
        for channels, priors in zip(
            in_channels, self.prior_generator.num_base_priors, strict=True
        ):
            if planes:
                body = residual_block(channels, planes)
                channels = planes * body.expansion
            else:
                body = nn.Identity()
            self.bodies.append(body)
            self.score_convs.append(
                nn.Conv2d(
                    channels, priors * self.cls_out_channels, 3, padding=1
                )
            )
            self.delta_convs.append(
                nn.Conv2d(channels, priors * 4, 3, padding=1)
            )

    def forward(
        self, maps: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict scores and offsets.

        Args:
            maps (Sequence[Tensor]): Each (N, in_channels[i], H_i, W_i).

        Returns:
            tuple[list[Tensor], list[Tensor]]: For each map, logits of shape
            (N, A * (num_classes + 1), H_i, W_i), the background's last, and
            offsets (N, A * 4, H_i, W_i), for A priors at each place.
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
        """Lay all P priors of an image in a row, in single precision.

        Returns:
            tuple[Tensor, Tensor]: (N, P, num_classes + 1) and (N, P, 4).
        """

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

        Sums are divided by the number of positive priors in the batch, on
        average over the processes; without any, the losses are zero.

        Args:
            scores (Tensor): Logits, (N, P, num_classes + 1).
            deltas (Tensor): Offsets, (N, P, 4).
            priors (Tensor): Boxes in pixels, (N, P, 4).
            truths (list[InstanceData]): ``bboxes`` and ``labels``.
            ignored (list[InstanceData | None]): Objects to ignore.
            candidates (Tensor, optional): Priors that may be negatives, bool
                of shape (N, P). Defaults to None, all.

        Returns:
            tuple[Tensor, Tensor]: Classification and box loss.
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
        counts = positive.sum(1) * self.neg_pos_ratio
        chosen = positive | _hardest(losses.detach(), negative, counts)
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


def _hardest(losses: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
    """Mark, in each image, the ``counts`` negatives of the highest loss.

    Args:
        losses (Tensor): (N, P).
        negative (Tensor): Bool, (N, P).
        counts (Tensor): How many at most, (N,).
    """
    ranks = (
        losses.masked_fill(~negative, -1)
        .argsort(1, descending=True)
        .argsort(1)
    )
    return negative & (ranks < counts[:, None])
