"""The demo data as a data set of semantic segmentation."""

from mmseg.datasets import BaseSegDataset

from mmvovnet.registry import DATASETS

from .digits import CLASSES, prepare


@DATASETS.register_module()
class DigitsSegmentation(BaseSegDataset):
    """Handwritten digits on photographs, each pixel with its class.

    Made on first use. Class 0 is the photograph, each other one a digit.

    Args:
        data_root: Folder to find the data in, or to make it in.
        sides: Least and greatest side of a digit, see :func:`prepare`.
        **kwargs: As for mmseg's ``BaseSegDataset``.

    Raises:
        FileExistsError: If ``data_root`` holds something else.
        ImportError: If the data must be made and scikit-learn is missing.
    """

    METAINFO = {'classes': ('photograph', *CLASSES)}

    def __init__(
        self, data_root: str, sides: tuple[int, int] = (22, 52), **kwargs
    ) -> None:
        prepare(data_root, sides=sides)
        suffixes = dict(img_suffix='.png', seg_map_suffix='.png')
        super().__init__(data_root=data_root, **suffixes | kwargs)
