"""The mask branch of CenterMask, and its rule for the level of a box."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads import MaskScoringRoIHead, StandardRoIHead
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import SampleList
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmvovnet.registry import MODELS


@MODELS.register_module()
class AdaptiveRoIExtractor(BaseRoIExtractor):
    """Takes a box from the level that its share of the image asks for.

    The level of a box is ``ceil(k_max - log2(A_image / A_box))``, within the
    levels that there are (arXiv 1911.06667, Eq. 2). mmdet's
    ``SingleRoIExtractor``, whose options it has, compares a box with 224
    pixels instead, the side of an ImageNet image, whatever the size of the
    image at hand. k is the logarithm to base 2 of a stride.

    Raises:
        ValueError: If the strides are no powers of 2, each twice the last.

    Example:
        >>> import torch
        >>> extractor = AdaptiveRoIExtractor(
        ...     dict(type='RoIAlign', output_size=14), 16, [8, 16, 32]
        ... )
        >>> rois = torch.tensor([[0, 0, 0, 60, 60.0], [0, 0, 0, 30, 30]])
        >>> extractor.map_roi_levels(rois, torch.tensor([64 * 64, 64 * 64]))
        tensor([2, 0])
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        levels = [math.log2(stride) for stride in self.featmap_strides]
        self.k_min = int(levels[0])
        self.k_max = self.k_min + len(levels) - 1
        if levels != [*range(self.k_min, self.k_max + 1)]:
            raise ValueError(
                'featmap_strides must be powers of 2, each twice the one '
                f'before, as in [8, 16, 32], got {self.featmap_strides}'
            )

    def map_roi_levels(self, rois: Tensor, image_areas: Tensor) -> Tensor:
        """Choose the level of each box; without an area it is the first, 0.

        Args:
            rois: Boxes (image, x1, y1, x2, y2) in pixels, shape (n, 5).
            image_areas: Height x width of the image that each box lies in, as
                resized, without padding, shape (n,).
        """
        sides = (rois[:, 3:] - rois[:, 1:3]).float().clamp(min=0)
        ratio = image_areas / sides.prod(1)
        levels = torch.ceil(self.k_max - torch.log2(ratio))
        return levels.clamp(self.k_min, self.k_max).long() - self.k_min

    def forward(
        self, feats: Sequence[Tensor], rois: Tensor, image_areas: Tensor
    ) -> Tensor:
        """Cut boxes out of the maps, as (n, C, h, w) by ``roi_layer``."""
        levels = self.map_roi_levels(rois, image_areas)
        rois = rois.type_as(feats[0])
        size = self.roi_layers[0].output_size
        out = feats[0].new_zeros(len(rois), self.out_channels, *size)
        for level, layer in enumerate(self.roi_layers):
            index = (levels == level).nonzero().squeeze(1)
            if len(index):
                out[index] = layer(feats[level], rois[index])
            else:  # so that all of the model gets a gradient, for DDP
                out = out + feats[level].sum() * 0
        return out


@MODELS.register_module()
class CenterMaskRoIHead(MaskScoringRoIHead):
    """Masks for given boxes, and scores for the masks.

    mmdet's ``MaskScoringRoIHead`` is a second stage: it classifies and moves
    the proposals of a first one, and ranks boxes and masks by the mask's
    score. Here boxes and classes are final, so there is no box head, and the
    results have ``mask_scores`` for masks next to ``scores`` for boxes, as
    mmdet's ``CocoMetric`` takes them. Objects without a mask or without an
    area train the boxes alone.

    Args:
        mask_iou_head: mmdet's ``MaskIoUHead``. Without it masks have the
            scores of their boxes.
        **kwargs: ``mask_roi_extractor``, ``mask_head``, ``train_cfg`` and
            ``test_cfg`` as for ``MaskScoringRoIHead``. Mind that
            ``train_cfg['mask_thr_binary']``, by which ``MaskIoUHead`` cuts
            masks for its target, is one of logits: 0 is a probability of 0.5.
    """

    def __init__(self, mask_iou_head: dict | None = None, **kwargs) -> None:
        StandardRoIHead.__init__(self, **kwargs)
        self.mask_iou_head = None
        if mask_iou_head is not None:
            self.mask_iou_head = MMDET_MODELS.build(mask_iou_head)

    def loss(
        self,
        x: Sequence[Tensor],
        proposals: InstanceList,
        batch_data_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Compute ``loss_mask``, and ``loss_mask_iou``."""
        metas = [sample.metainfo for sample in batch_data_samples]
        truths = [
            _with_masks(sample.gt_instances, sample.batch_input_shape)
            for sample in batch_data_samples
        ]
        samples = []
        for boxes, truth in zip(proposals, truths, strict=True):
            priors = InstanceData(priors=boxes.bboxes)
            assigned = self.bbox_assigner.assign(priors, truth)
            samples.append(self.bbox_sampler.sample(assigned, priors, truth))
        found = self._kind().mask_loss(
            self, _sized(x, metas), samples, None, truths
        )
        return found['loss_mask']

    def predict(
        self,
        x: Sequence[Tensor],
        results: InstanceList,
        batch_data_samples: SampleList,
        rescale: bool = False,
    ) -> InstanceList:
        """Add masks to detections in pixels of the input.

        ``masks`` are bool of shape (K, H, W), ``mask_scores`` score times
        predicted IoU. With ``rescale`` all is in pixels of the original.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        scores = [image.scores for image in results]
        results = self._kind().predict_mask(
            self, _sized(x, metas), metas, results, rescale
        )
        for image, score in zip(results, scores, strict=True):
            image.mask_scores, image.scores = image.scores, score
        return results

    def _kind(self) -> type[StandardRoIHead]:
        """The head of mmdet whose losses and masks these are."""
        without = self.mask_iou_head is None
        return StandardRoIHead if without else MaskScoringRoIHead

    def _mask_forward(
        self, x: Sequence[Tensor], rois: Tensor
    ) -> dict[str, Tensor]:
        """As mmdet's; the last of ``x`` are the images' areas, (N,)."""
        *maps, areas = x
        extractor = self.mask_roi_extractor
        args: list[Any] = [maps[: extractor.num_inputs], rois]
        if isinstance(extractor, AdaptiveRoIExtractor):
            args.append(areas[rois[:, 0].long()])
        feats = extractor(*args)
        return dict(mask_preds=self.mask_head(feats), mask_feats=feats)


def _sized(x: Sequence[Tensor], metas: list[dict]) -> tuple[Tensor, ...]:
    """Maps, and the images' areas, which mmdet hands through with them."""
    areas = [meta['img_shape'][0] * meta['img_shape'][1] for meta in metas]
    return *x, x[0].new_tensor(areas, dtype=torch.float)


def _with_masks(truth: InstanceData, shape: tuple[int, int]) -> InstanceData:
    """The objects that have a mask and a box of some area."""
    if 'masks' not in truth:
        truth = truth[:0]
        truth.masks = BitmapMasks([], *shape)
        return truth
    sides = (truth.bboxes[:, 2:] - truth.bboxes[:, :2]).amin(1)
    kept = (sides.cpu().numpy() > 0) & (truth.masks.areas > 0)
    return truth if kept.all() else truth[kept.nonzero()[0]]
