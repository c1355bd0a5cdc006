"""The demo data as a data set of semantic segmentation."""

from mmseg.datasets import BaseSegDataset

from mmvovnet.registry import DATASETS

from .digits import CLASSES, prepare


@DATASETS.register_module()
class DigitsSegmentation(BaseSegDataset):
    """The photographs of :class:`DigitsDetection`, each pixel with its class.

    Args:
        data_root: Folder to find the data in, or to make it in.
        **kwargs: As for mmseg's ``BaseSegDataset``.
    """

    METAINFO = {'classes': ('photograph', *CLASSES)}

    def __init__(self, data_root: str, **kwargs) -> None:
        prepare(data_root)
        suffixes = dict(img_suffix='.png', seg_map_suffix='.png')
        super().__init__(data_root=data_root, **suffixes | kwargs)
