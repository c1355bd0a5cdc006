"""The demo data as a detection data set."""

from mmdet.datasets import CocoDataset

from mmvovnet.registry import DATASETS

from .digits import CLASSES, Sides, prepare


@DATASETS.register_module()
class DigitsDetection(CocoDataset):
    """Handwritten digits on photographs, made on first use.

    Args:
        data_root: Folder to find the data in, or to make it in.
        sides: Least and greatest side of a digit, see :func:`prepare`.
        **kwargs: As for mmdet's ``CocoDataset``.
    """

    METAINFO = {'classes': CLASSES}

    def __init__(
        self, data_root: str, sides: Sides = (22, 52), **kwargs
    ) -> None:
        prepare(data_root, sides=sides)
        super().__init__(data_root=data_root, **kwargs)
