import json

import pytest

pytest.importorskip('mmdet.datasets', reason='mmdet is not installed')

from mmvovnet.datasets.checked import (
    CheckedCocoDataset,
    CheckedXMLDataset,
)

GOOD = [10, 20, 30, 40]
BAD = {
    'flat': ([10, 20, 30, 0], [10, 20, 30, 20]),
    'negative': ([10, 20, -5, 40], [10, 20, 5, 40]),
    'nan': ([10, float('nan'), 30, 40], ['10', 'nan', '30', '40']),
}


def coco(folder, box):
    boxes = {17: GOOD, 23: box}
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=100, height=80)],
        categories=[dict(id=1, name='cell')],
        annotations=[
            dict(id=i, image_id=1, category_id=1, bbox=b, area=9, iscrowd=0)
            for i, b in boxes.items()
        ],
    )
    (folder / 'train.json').write_text(json.dumps(content))
    return CheckedCocoDataset(
        data_root=str(folder),
        ann_file='train.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('cell',)),
    )


def xml(folder, box):
    objects = ''.join(
        f'<object><name>{name}</name><bndbox><xmin>{b[0]}</xmin>'
        f'<ymin>{b[1]}</ymin><xmax>{b[2]}</xmax><ymax>{b[3]}</ymax>'
        '</bndbox></object>'
        for name, b in (('other', [10, 20, 30, 40]), ('cell', box))
    )
    (folder / 'Annotations').mkdir()
    (folder / 'Annotations' / 'a.xml').write_text(
        '<annotation><size><width>100</width><height>80</height></size>'
        f'{objects}</annotation>'
    )
    (folder / 'names.txt').write_text('a\n')
    return CheckedXMLDataset(
        data_root=str(folder),
        ann_file='names.txt',
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=('cell',)),
    )


@pytest.mark.parametrize('kind', BAD)
def test_coco_box_without_area_is_named(tmp_path, kind):
    with pytest.raises(ValueError, match=r'train.json.: annotation 23 .*area'):
        coco(tmp_path, BAD[kind][0])


@pytest.mark.parametrize('kind', BAD)
def test_xml_box_without_area_is_named(tmp_path, kind):
    with pytest.raises(ValueError, match=r'a.xml.: object 2 .*area'):
        xml(tmp_path, BAD[kind][1])


def test_good_boxes_are_read(tmp_path):
    for build, folder in ((coco, 'coco'), (xml, 'xml')):
        (tmp_path / folder).mkdir()
        dataset = build(tmp_path / folder, [1, 2, 5, 6])
        boxes = [i['bbox'] for i in dataset.get_data_info(0)['instances']]
        assert boxes[-1] in ([1, 2, 6, 8], [0, 1, 4, 5])
