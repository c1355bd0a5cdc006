"""The mask branch of CenterMask."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads import MaskScoringRoIHead, StandardRoIHead
from mmdet.structures import SampleList
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmvovnet.registry import MODELS

from .roi_extractor import AdaptiveRoIExtractor


@MODELS.register_module()
class CenterMaskRoIHead(MaskScoringRoIHead):
    """Masks for given boxes, and scores for the masks.

    mmdet's ``MaskScoringRoIHead`` is a second stage: it classifies and moves
    the proposals of a first one. Here boxes and classes are final, so there
    is no box head. The extractor may take the sizes of the images, see
    :class:`AdaptiveRoIExtractor`. ``mask_scores`` stand next to ``scores`` in
    the results, as mmdet's ``CocoMetric`` takes them: masks are ranked by the
    one, boxes by the other, where ``MaskScoringRoIHead`` ranks both by the
    mask's score.

    Objects without a mask or without an area train the boxes alone.

    Args:
        mask_iou_head (dict, optional): mmdet's ``MaskIoUHead``. Without it
            masks have the scores of their boxes. Defaults to None.
        **kwargs: ``mask_roi_extractor``, ``mask_head``, ``train_cfg`` and
            ``test_cfg`` as for ``MaskScoringRoIHead``. Mind that
            ``train_cfg['mask_thr_binary']``, by which ``MaskIoUHead`` cuts
            masks for its target, is one of logits: 0 is a probability of 0.5.
    """

    def __init__(self, mask_iou_head: dict | None = None, **kwargs) -> None:
        if mask_iou_head is None:
            StandardRoIHead.__init__(self, **kwargs)
            self.mask_iou_head = None
        else:
            super().__init__(mask_iou_head, **kwargs)

    def loss(
        self,
        x: Sequence[Tensor],
        proposals: InstanceList,
        batch_data_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Compute the losses of masks and of their scores.

        Args:
            x (Sequence[Tensor]): Maps.
            proposals (list[InstanceData]): ``bboxes`` of each image.
            batch_data_samples (list[DetDataSample]): The truth.

        Returns:
            dict[str, Tensor]: ``loss_mask``, and ``loss_mask_iou``.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        truths = [
            _with_masks(sample.gt_instances, meta['batch_input_shape'])
            for sample, meta in zip(batch_data_samples, metas, strict=True)
        ]
        samples = []
        for boxes, truth in zip(proposals, truths, strict=True):
            priors = InstanceData(priors=boxes.bboxes)
            assigned = self.bbox_assigner.assign(priors, truth)
            samples.append(self.bbox_sampler.sample(assigned, priors, truth))
        found = self._parent().mask_loss(
            _sized(x, metas), samples, None, truths
        )
        return found['loss_mask']

    def predict(
        self,
        x: Sequence[Tensor],
        results: InstanceList,
        batch_data_samples: SampleList,
        rescale: bool = False,
    ) -> InstanceList:
        """Add masks to detections.

        Args:
            x (Sequence[Tensor]): Maps.
            results (list[InstanceData]): ``bboxes``, ``scores`` and
                ``labels`` of each image, in pixels of the input.
            batch_data_samples (list[DetDataSample]): The images' sizes.
            rescale (bool): Boxes and masks in pixels of the original images.
                Defaults to False.

        Returns:
            list[InstanceData]: The same, with ``masks``, bool of shape
            (K, H, W), and ``mask_scores``: score times predicted IoU.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        scores = [image.scores for image in results]
        results = self._parent().predict_mask(
            _sized(x, metas), metas, results, rescale
        )
        for image, score in zip(results, scores, strict=True):
            image.mask_scores, image.scores = image.scores, score
        return results

    def _parent(self) -> Any:
        """Mmdet's head with mask scores, or the one without them."""
        if self.mask_iou_head is None:
            return super(MaskScoringRoIHead, self)
        return super()

    def _mask_forward(
        self, x: Sequence[Tensor], rois: Tensor
    ) -> dict[str, Tensor]:
        """As mmdet's; the last of ``x`` are the images' areas, (N,)."""
        *maps, areas = x
        extractor = self.mask_roi_extractor
        sizes = (
            [areas[rois[:, 0].long()]]
            if isinstance(extractor, AdaptiveRoIExtractor)
            else []
        )
        feats = extractor(maps[: extractor.num_inputs], rois, *sizes)
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
