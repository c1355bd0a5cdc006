"""The matching of SSD and RefineDet."""

import torch
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class BipartiteAssigner(MaxIoUAssigner):
    """Every object gets a prior of its own, then what overlaps it enough.

    Pairs of object and prior are taken by falling overlap, each object and
    each prior once (arXiv 1512.02325, section 2.2); then every other prior
    goes to the object that it overlaps most, if by ``pos_iou_thr``.
    ``MaxIoUAssigner``, whose options it has, instead lets each object take
    its best prior in turn: of two that share it the first is left without,
    and an object that no prior touches takes an arbitrary one. A prior with
    more than ``ignore_iof_thr`` of its area in an object that is to be
    ignored, such as a crowd, is ignored as well.

    Example:
        >>> import torch
        >>> overlaps = torch.tensor([[0.9, 0.2, 0.0], [0.8, 0.1, 0.0]])
        >>> assigner = BipartiteAssigner(pos_iou_thr=0.5, neg_iou_thr=0.5)
        >>> labels = torch.tensor([4, 7])
        >>> assigner.assign_wrt_overlaps(overlaps, labels).gt_inds
        tensor([1, 2, 0])
    """

    def __init__(self, *args, ignore_iof_thr: float = 0.5, **kwargs) -> None:
        kwargs |= dict(ignore_iof_thr=ignore_iof_thr, match_low_quality=False)
        super().__init__(*args, **kwargs)

    def assign_wrt_overlaps(
        self, overlaps: Tensor, gt_labels: Tensor
    ) -> AssignResult:
        """Assign by overlaps of K objects and P priors, (K, P).

        ``gt_inds`` of the result are 0 for negative priors, -1 for ignored
        ones and k for the k-th object's.
        """
        result = super().assign_wrt_overlaps(overlaps, gt_labels)
        num_priors = overlaps.size(1)
        left = overlaps.clone(memory_format=torch.contiguous_format)
        for _ in range(min(overlaps.shape)):
            # Of one element: the host would wait for a scalar as an index.
            best = left.argmax().view(1)
            obj, prior = best // num_priors, best % num_priors
            touches = left.view(-1)[best] > 0
            result.gt_inds[prior] = torch.where(
                touches, obj + 1, result.gt_inds[prior]
            )
            result.labels[prior] = torch.where(
                touches, gt_labels[obj], result.labels[prior]
            )
            left.index_fill_(0, obj, -1).index_fill_(1, prior, -1)
        return result
