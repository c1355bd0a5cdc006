"""Detection data sets that refuse boxes without an area.

MMDetection drops some of them in silence and trains on others, to NaN. With
these types the run ends before its first step, and the error names the
annotation. COCO's own annotations hold a few such boxes: they need
``CocoDataset``.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from mmdet.datasets import CocoDataset, XMLDataset

from mmvovnet.registry import DATASETS


def _check(sides: Sequence, box: Sequence, where: str) -> None:
    if not (all(map(math.isfinite, box)) and min(sides) > 0):
        raise ValueError(
            f'{where} has the box {box}, which is not finite or has no area: '
            'correct it or remove the annotation'
        )


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset``; a box without an area is a ``ValueError``."""

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Check and parse the annotations of one image."""
        for annotation in raw_data_info['raw_ann_info']:
            box = annotation['bbox']
            where = f"'{self.ann_file}': annotation {annotation['id']}"
            _check(box[2:], box, f'{where} (x, y, width, height)')
        return super().parse_data_info(raw_data_info)


@DATASETS.register_module()
class CheckedXMLDataset(XMLDataset):
    """mmdet's ``XMLDataset``; a box without an area is a ``ValueError``."""

    def parse_data_info(self, img_info: dict) -> dict:
        """Check and parse the annotations of one image."""
        path = img_info['xml_path']
        objects = ET.parse(path).getroot().iterfind('object/bndbox')
        for number, bounds in enumerate(objects, 1):
            names = ('xmin', 'ymin', 'xmax', 'ymax')
            box = [float(bounds.findtext(name, '')) for name in names]
            x1, y1, x2, y2 = box
            where = f"'{path}': object {number} (x1, y1, x2, y2)"
            _check((x2 - x1, y2 - y1), box, where)
        return super().parse_data_info(img_info)
