"""The demo data as a detection data set."""

from mmdet.datasets import CocoDataset

from mmvovnet.registry import DATASETS

from .digits import CLASSES, prepare


@DATASETS.register_module()
class DigitsDetection(CocoDataset):
    """Handwritten digits on photographs, made on first use.

    Args:
        data_root: Folder to find the data in, or to make it in.
        sides: Least and greatest side of a digit, see :func:`prepare`.
        **kwargs: As for mmdet's ``CocoDataset``.

    Raises:
        FileExistsError: If ``data_root`` holds something else.
        ImportError: If the data must be made and scikit-learn is missing.
    """

    METAINFO = {'classes': CLASSES}

    def __init__(
        self, data_root: str, sides: tuple[int, int] = (22, 52), **kwargs
    ) -> None:
        prepare(data_root, sides=sides)
        super().__init__(data_root=data_root, **kwargs)
