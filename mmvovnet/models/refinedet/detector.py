"""RefineDet, the detector."""

from mmdet.models.detectors import SingleStageDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import OptSampleList, SampleList
from torch import Tensor

from mmvovnet.registry import MODELS


@MODELS.register_module()
class RefineDet(SingleStageDetector):
    """A detector that moves its anchors before it classifies them.

    A first head, the anchor refinement module (ARM), reads the backbone's
    maps, separates objects from background and moves the anchors. A second
    one, the object detection module (ODM), reads the maps that transfer
    connections make of them, and classifies and moves the refined anchors
    (arXiv 1711.06897). No gradient of the second head's loss goes through the
    boxes and scores of the first.

    Args:
        arm_head: :class:`ARMHead`.
        bbox_head: :class:`ODMHead`. Its anchors are those of ``arm_head``.
        train_cfg: ``arm`` and ``odm``: each has an ``assigner``, and
            ``neg_pos_ratio``, hard negatives for each positive prior.
        **kwargs: As for mmdet's ``SingleStageDetector``: a ``backbone`` with
            maps of strides 8, 16 and 32, :class:`TransferConnectionNeck` as
            ``neck``, and the ``test_cfg`` of :class:`ODMHead`.
    """

    # What each level puts out, by which exported outputs are named.
    output_kinds = ('scores', 'boxes', 'anchor_scores', 'anchor_boxes')

    def __init__(
        self,
        arm_head: dict,
        bbox_head: dict,
        train_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        train_cfg = train_cfg or {}
        anchors = arm_head['anchor_generator']
        super().__init__(
            bbox_head={**bbox_head, 'anchor_generator': anchors},
            train_cfg=train_cfg.get('odm'),
            **kwargs,
        )
        self.arm_head = MMDET_MODELS.build(
            {**arm_head, 'train_cfg': train_cfg.get('arm')}
        )

    def _forward(
        self,
        batch_inputs: Tensor,
        batch_data_samples: OptSampleList = None,
    ) -> tuple[list[Tensor], ...]:
        """Scores and offsets of the second head, then those of the first."""
        sources, maps = zip(*self.extract_feat(batch_inputs), strict=True)
        return *self.bbox_head(maps), *self.arm_head(sources)

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Compute the losses of both heads."""
        *odm, scores, deltas = self._forward(batch_inputs)
        truths, ignored, _ = unpack_gt_instances(batch_data_samples)
        refined = self.arm_head.refine(scores, deltas)
        return {
            **self.arm_head.loss_by_feat(scores, deltas, truths, ignored),
            **self.bbox_head.loss_by_feat(*odm, *refined, truths, ignored),
        }

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: SampleList,
        rescale: bool = True,
    ) -> SampleList:
        """Add ``pred_instances``, by default in the original's pixels."""
        *odm, scores, deltas = self._forward(batch_inputs)
        refined = self.arm_head.refine(scores, deltas)
        metas = [sample.metainfo for sample in batch_data_samples]
        results = self.bbox_head.predict_by_feat(
            *odm, *refined, metas, rescale
        )
        return self.add_pred_to_datasample(batch_data_samples, results)
