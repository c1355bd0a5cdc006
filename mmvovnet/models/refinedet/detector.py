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
        backbone (dict): Its maps have strides 8, 16 and 32.
        neck (dict): :class:`TransferConnectionNeck`.
        arm_head (dict): :class:`ARMHead`.
        bbox_head (dict): :class:`ODMHead`. Its anchors are those of
            ``arm_head``.
        train_cfg (dict, optional): ``arm`` and ``odm``, see
            :class:`MultiBoxHead`.
        test_cfg (dict, optional): See :class:`ODMHead`.
        data_preprocessor (dict, optional): mmdet's.
        init_cfg (dict | list[dict], optional): Initialisation.

    Attributes:
        output_kinds (tuple[str]): What the model puts out for each level in
            mode 'tensor', by which exported outputs are named.
    """

    output_kinds = ('scores', 'boxes', 'anchor_scores', 'anchor_boxes')

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        arm_head: dict,
        bbox_head: dict,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        train_cfg = train_cfg or {}
        anchors = arm_head['anchor_generator']
        super().__init__(
            backbone,
            neck,
            {**bbox_head, 'anchor_generator': anchors},
            train_cfg.get('odm'),
            test_cfg,
            data_preprocessor,
            init_cfg,
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
        """Compute the losses of both heads.

        Args:
            batch_inputs (Tensor): Images, (N, 3, H, W).
            batch_data_samples (list[DetDataSample]): Their truth.

        Returns:
            dict[str, Tensor]: Four losses.
        """
        *odm, scores, deltas = self._forward(batch_inputs)
        truths, ignored, metas = unpack_gt_instances(batch_data_samples)
        anchors = self.arm_head.anchors(scores)
        refined = self.arm_head.refine(scores, deltas, anchors)
        truth = (truths, metas, ignored)
        return {
            **self.arm_head.loss_by_feat(scores, deltas, *truth, anchors),
            **self.bbox_head.loss_by_feat(*odm, *refined, *truth),
        }

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: SampleList,
        rescale: bool = True,
    ) -> SampleList:
        """Detect.

        Args:
            batch_inputs (Tensor): Images, (N, 3, H, W).
            batch_data_samples (list[DetDataSample]): Their sizes.
            rescale (bool): Boxes in pixels of the original images. Defaults
                to True.

        Returns:
            list[DetDataSample]: With ``pred_instances``.
        """
        *odm, scores, deltas = self._forward(batch_inputs)
        refined = self.arm_head.refine(scores, deltas)
        results = self.bbox_head.predict_by_feat(
            *odm,
            *refined,
            [sample.metainfo for sample in batch_data_samples],
            rescale=rescale,
        )
        return self.add_pred_to_datasample(batch_data_samples, results)
