"""CenterMask and Panoptic-CenterMask, the detectors."""

from collections.abc import Sequence

import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import SampleList
from mmdet.utils import InstanceList
from mmengine.config import ConfigDict
from torch import Tensor

from mmvovnet.registry import MODELS


@MODELS.register_module()
class CenterMask(SingleStageDetector):
    """FCOS, and a mask for each of its boxes.

    FCOS finds boxes and classes; the mask branch needs no box head of its own
    (arXiv 1911.06667, section 3). It is trained on the boxes that FCOS finds
    in the same step, after suppression, and on the true ones.

    The score of a box is the square root of class score times centerness, as
    in the authors' code; mmdet's ``FCOSHead`` has no root. Boxes rank the
    same, masks do not. That code ranks the candidates of a level by the
    product before it keeps 1000 of them, mmdet by the class score, and mmdet
    clips boxes to the image.

    Args:
        bbox_head: mmdet's ``FCOSHead``.
        roi_head: :class:`CenterMaskRoIHead`.
        train_cfg: ``proposal``, which boxes of FCOS train the masks, of the
            keys of ``FCOSHead``'s ``test_cfg``; and ``roi_head``.
        test_cfg: ``bbox_head`` and ``roi_head``.
        **kwargs: As for mmdet's ``SingleStageDetector``: ``backbone``, and
            ``FPN`` with a map for each stride of ``bbox_head`` as ``neck``.
    """

    def __init__(
        self,
        bbox_head: dict,
        roi_head: dict,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        train_cfg = ConfigDict(train_cfg or {})
        test_cfg = ConfigDict(test_cfg or {})
        super().__init__(
            bbox_head={**bbox_head},
            train_cfg=train_cfg.get('bbox_head'),
            test_cfg=test_cfg.get('bbox_head'),
            **kwargs,
        )
        cfgs = dict(
            train_cfg=train_cfg.get('roi_head'),
            test_cfg=test_cfg.get('roi_head'),
        )
        self.roi_head = MMDET_MODELS.build({**roi_head, **cfgs})
        self.proposal_cfg = train_cfg.get('proposal')

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Compute ``FCOSHead``'s losses, ``loss_mask``, ``loss_mask_iou``."""
        return self.instance_loss(
            self.extract_feat(batch_inputs), batch_data_samples
        )

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: SampleList,
        rescale: bool = True,
    ) -> SampleList:
        """Add ``pred_instances``, with ``masks`` and ``mask_scores``."""
        results = self.instance_predict(
            self.extract_feat(batch_inputs), batch_data_samples, rescale
        )
        return self.add_pred_to_datasample(batch_data_samples, results)

    def instance_loss(
        self, x: Sequence[Tensor], batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """As :meth:`loss`, from the maps that ``bbox_head`` takes."""
        outs = self.bbox_head(x)
        truths, ignored, metas = unpack_gt_instances(batch_data_samples)
        losses = self.bbox_head.loss_by_feat(*outs, truths, metas, ignored)
        proposals = self._propose(outs, metas)
        return losses | self.roi_head.loss(x, proposals, batch_data_samples)

    def instance_predict(
        self,
        x: Sequence[Tensor],
        batch_data_samples: SampleList,
        rescale: bool,
    ) -> InstanceList:
        """As :meth:`predict`, from the maps that ``bbox_head`` takes."""
        results = self.bbox_head.predict(x, batch_data_samples, rescale=False)
        for image in results:
            image.scores = image.scores.sqrt()
        return self.roi_head.predict(x, results, batch_data_samples, rescale)

    @torch.no_grad()
    def _propose(
        self, outs: Sequence[Sequence[Tensor]], metas: list[dict]
    ) -> InstanceList:
        """The boxes of FCOS, which in training gives them in strides."""
        scores, distances, centerness = outs
        if self.bbox_head.norm_on_bbox:
            scaled = zip(distances, self.bbox_head.strides, strict=True)
            distances = [x * stride for x, stride in scaled]
        return self.bbox_head.predict_by_feat(
            scores, distances, centerness, metas, cfg=self.proposal_cfg
        )


@MODELS.register_module()
class PanopticCenterMask(CenterMask):
    """CenterMask for things, and a semantic head for stuff.

    The FPN has one level more than that of CenterMask, of stride 4, for the
    semantic head. mmdet's ``TwoStagePanopticSegmentor`` needs proposals of one
    class, which FCOS does not give.

    Args:
        semantic_head: mmdet's ``PanopticFPNHead``.
        panoptic_fusion_head: mmdet's ``HeuristicFusionHead``.
        test_cfg: As for :class:`CenterMask`, and ``panoptic``:
            ``mask_overlap`` and ``stuff_area_limit`` of the fusion head, and
            ``score_thr``, below which a thing is left out of the panoptic
            result.
        **kwargs: As for :class:`CenterMask`.
    """

    def __init__(
        self,
        semantic_head: dict,
        panoptic_fusion_head: dict,
        test_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(test_cfg=test_cfg, **kwargs)
        self.semantic_head = MMDET_MODELS.build(semantic_head)
        self.panoptic_cfg = ConfigDict((test_cfg or {}).get('panoptic', {}))
        self.panoptic_fusion_head = MMDET_MODELS.build(
            {**panoptic_fusion_head, 'test_cfg': self.panoptic_cfg}
        )

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: SampleList = None
    ) -> tuple:
        """The outputs of the box head and the semantic head."""
        x = self.extract_feat(batch_inputs)
        return *self.bbox_head(x[1:]), [self.semantic_head(x)['seg_preds']]

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Compute the losses of :class:`CenterMask`, and ``loss_seg``."""
        x = self.extract_feat(batch_inputs)
        return {
            **self.instance_loss(x[1:], batch_data_samples),
            **self.semantic_head.loss(x, batch_data_samples),
        }

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: SampleList,
        rescale: bool = True,
    ) -> SampleList:
        """Add ``pred_panoptic_seg`` and ``pred_instances``."""
        x = self.extract_feat(batch_inputs)
        metas = [sample.metainfo for sample in batch_data_samples]
        things = self.instance_predict(x[1:], batch_data_samples, rescale)
        stuff = self.semantic_head.predict(x, metas, rescale)
        sure = [t[t.scores >= self.panoptic_cfg['score_thr']] for t in things]
        whole = self.panoptic_fusion_head.predict(sure, stuff)
        for sample, segments in zip(batch_data_samples, whole, strict=True):
            sample.pred_panoptic_seg = segments
        return self.add_pred_to_datasample(batch_data_samples, things)
