"""CenterMask, the detector."""

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
            distances = [
                x * stride
                for x, stride in zip(
                    distances, self.bbox_head.strides, strict=True
                )
            ]
        return self.bbox_head.predict_by_feat(
            scores, distances, centerness, metas, cfg=self.proposal_cfg
        )
