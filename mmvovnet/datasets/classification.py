"""The digits as a classification data set."""

from mmengine.dataset import BaseDataset

from mmvovnet.registry import DATASETS

from .digits import CLASSES, load_scans


@DATASETS.register_module()
class DigitsClassification(BaseDataset):
    """Handwritten digits, read from scikit-learn.

    Args:
        split: 'train' or 'val'.
        **kwargs: As for mmengine's ``BaseDataset``.

    Example:
        >>> sample = DigitsClassification('val')[0]
        >>> sample['img'].shape, sample['gt_label']
        ((8, 8, 1), 2)
    """

    METAINFO = {'classes': CLASSES}

    def __init__(self, split: str, **kwargs) -> None:
        self.split = split
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Return ``img`` (8, 8, 1) and ``gt_label`` of each scan."""
        scans, labels = load_scans(self.split)
        return [
            {'img': scan[..., None], 'gt_label': int(label)}
            for scan, label in zip(scans, labels, strict=True)
        ]
