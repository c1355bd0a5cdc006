"""Panoptic-CenterMask."""

from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from torch import Tensor

from mmvovnet.registry import MODELS

from .detector import CenterMask


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
