"""The demo data as a data set of semantic segmentation."""

from mmseg.datasets import BaseSegDataset

from mmvovnet.registry import DATASETS

from .digits import CLASSES, prepare


@DATASETS.register_module()
class DigitsSegmentation(BaseSegDataset):
    """Handwritten digits on photographs, each pixel with its class.

    Made on first use. The class of a photograph's pixels is 0, that of a
    digit's 1 more than the digit.

    Args:
        data_root: Folder to find the data in, or to make it in.
        sides: Least and greatest side of a digit, see :func:`prepare`.
        **kwargs: As for mmseg's ``BaseSegDataset``.

    Raises:
        FileExistsError: If ``data_root`` holds something else.
        ImportError: If the data must be made and scikit-learn is missing.
    """

    METAINFO = {
        'classes': ('photograph', *CLASSES),
        'palette': [
            [0, 0, 0],
            [230, 25, 75],
            [60, 180, 75],
            [255, 225, 25],
            [0, 130, 200],
            [245, 130, 48],
            [145, 30, 180],
            [70, 240, 240],
            [240, 50, 230],
            [210, 245, 60],
            [250, 190, 212],
        ],
    }

    def __init__(
        self, data_root: str, sides: tuple[int, int] = (22, 52), **kwargs
    ) -> None:
        low, high = sides
        prepare(data_root, sides=(low, high))
        suffixes = dict(img_suffix='.png', seg_map_suffix='.png')
        super().__init__(data_root=data_root, **suffixes | kwargs)
