"""The table of cases: what is wrong, and the words that say so."""

import copy
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmvovnet.data_check import check
from mmvovnet.data_check.images import faulty_file, faulty_image
from mmvovnet.engine.images import LoadImageFromFile

pytest.importorskip('mmdet.datasets', exc_type=ImportError)

SIZE = 64


def coco(offset=0):
    """Eight images of two boxes each, of two classes."""
    return dict(
        images=[
            dict(id=i, file_name=f'{i + offset}.png', width=SIZE, height=SIZE)
            for i in range(8)
        ],
        annotations=[
            dict(
                id=2 * i + j + 1,
                image_id=i,
                category_id=j,
                bbox=[30, 30, 30, 20],
                area=600,
                iscrowd=0,
            )
            for i in range(8)
            for j in range(2)
        ],
        categories=[dict(id=0, name='cat'), dict(id=1, name='dog')],
    )


def dataset(ann_file, **changes):
    return dict(
        type='CocoDataset',
        ann_file=ann_file,
        data_prefix=dict(img='images'),
        metainfo=dict(classes=('cat', 'dog')),
    ) | dict(changes)


def config():
    """A detector whose backbone and neck are not run, to save time."""
    return dict(
        default_scope='mmdet',
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_dataloader=dict(num_workers=0, dataset=dataset('train.json')),
        val_dataloader=dict(num_workers=0, dataset=dataset('val.json')),
        val_evaluator=dict(type='CocoMetric', ann_file='val.json'),
        model=dict(
            data_preprocessor=dict(mean=[1.0] * 3, std=[1.0] * 3),
            bbox_head=dict(num_classes=2, strides=[16, 32, 64]),
        ),
    )


BACKBONE = dict(type='mmvovnet.VoVNet', arch='V-27-slim', out_indices=(2, 3))
NECK = dict(type='FPN', in_channels=[384, 512], out_channels=8, num_outs=3)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'images').mkdir()
    for i in range(16):
        Image.new('RGB', (SIZE, SIZE)).save(f'images/{i}.png')
    (tmp_path / 'val.json').write_text(json.dumps(coco(8)))
    return tmp_path


def found(data, cfg=None, **options):
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    with open('train.json', 'wb') as file:
        file.write(content)
    cfg = Config(config() if cfg is None else cfg)
    return check(cfg, **dict(depth='presence') | options)


def test_says_nothing_of_good_data():
    cfg = config()
    cfg['model'] |= dict(backbone=BACKBONE, neck=NECK)
    report = found(coco(), cfg)
    assert not report.findings
    assert 'cat         8       8' in str(report)
    assert str(report).endswith('0 errors, 0 warnings')


def edited(*path, value=None, drop=False, every=False):
    """Good data with one entry, or all of a kind, changed."""
    data = coco()
    *parents, key = path
    kind = data[parents[0]]
    for item in kind if every else kind[3:4] or kind[:1]:
        if drop:
            del item[key]
        else:
            item[key] = copy.deepcopy(value)
    return data


BBOX = ('annotations', 'bbox')
ERRORS = {
    'html': (b'<html></html>', 'is no COCO JSON: Expecting value'),
    'empty': (b'', 'is no COCO JSON: Expecting value'),
    'BOM': (b'\xef\xbb\xbf{}', 'Unexpected UTF-8 BOM'),
    'torn': (b'{"images": [', 'is no COCO JSON: Expecting'),
    'list': (b'[]', 'lacks the lists images'),
    'no images': ({k: v for k, v in coco().items() if k != 'images'}, 'lists'),
    'no categories': (
        {k: v for k, v in coco().items() if k != 'categories'},
        'lacks the lists categories',
    ),
    'no bbox': (edited(*BBOX, drop=True), 'an entry lacks bbox'),
    'no area': (edited('annotations', 'area', drop=True), 'lacks area'),
    'no category_id': (
        edited('annotations', 'category_id', drop=True),
        'lacks category_id',
    ),
    'no id': (edited('annotations', 'id', drop=True), 'an entry lacks id'),
    'no file_name': (
        edited('images', 'file_name', drop=True),
        'an entry lacks file_name',
    ),
    '3 numbers': (edited(*BBOX, value=[1, 2, 3]), 'is not four numbers'),
    '5 numbers': (edited(*BBOX, value=[1] * 5), 'is not four numbers'),
    'strings': (edited(*BBOX, value=['1'] * 4), 'is not four numbers'),
    'null': (edited(*BBOX, value=[None] * 4), 'is not four numbers'),
    'NaN': (edited(*BBOX, value=[1, 1, np.nan, 2]), 'is NaN or infinite'),
    'inf': (edited(*BBOX, value=[1, 1, np.inf, 2]), 'is NaN or infinite'),
    'xyxy': (
        edited(*BBOX, value=[40, 40, 60, 50], every=True),
        'would not if they were x1, y1, x2, y2',
    ),
    'twice an id': (edited('annotations', 'id', value=1), 'have one id'),
    'twice an image id': (edited('images', 'id', value=1), 'have one id'),
    'unknown image': (
        edited('annotations', 'image_id', value=99),
        'names an unknown image_id',
    ),
    'unknown category': (
        edited('annotations', 'category_id', value=99),
        'names an unknown category_id',
    ),
    'all crowd': (
        edited('annotations', 'iscrowd', value=1, every=True),
        'none of 16 boxes can be used (16 crowd)',
    ),
    'all flat': (
        edited(*BBOX, value=[1, 1, 0, 0], every=True),
        'none of 16 boxes can be used (16 faulty)',
    ),
    'no annotation': (dict(coco(), annotations=[]), 'none of 0 boxes'),
    'image missing': (
        edited('images', 'file_name', value='none.png'),
        'an image is missing',
    ),
    'image a folder': (edited('images', 'file_name', value='.'), 'a folder'),
}


@pytest.mark.parametrize('data, words', ERRORS.values(), ids=ERRORS)
def test_errors_of_annotations(data, words):
    said = [f'{f.where} {f.what}' for f in found(data).errors]
    assert any(words in text for text in said), said


WARNINGS = {
    'negative': ([1, 1, -5, 5], 'has no area'),
    'zero': ([1, 1, 0, 5], 'has no area'),
    'thin': ([1, 1, 0.5, 5], 'thinner than a pixel'),
    'outside': ([200, 1, 5, 5], 'lies outside its image'),
    'over the edge': ([60, 60, 20, 20], 'reaches over the edge'),
    'half a pixel inside': ([1, -19.5, 20, 20], 'reaches over the edge'),
}


@pytest.mark.parametrize('box, words', WARNINGS.values(), ids=WARNINGS)
def test_boxes_that_are_dropped_or_cut(box, words):
    report = found(edited(*BBOX, value=box))
    (warning,) = report.findings
    assert warning.level == 'warning' and words in warning.what
    numbers = [float(x) for x in box]
    assert warning.examples == (f'4: {numbers} in images/1.png',)


def put(cfg, path, value):
    *parents, key = path.split('.')
    for parent in parents:
        cfg = cfg[parent]
    cfg[key] = value


SETTINGS = {
    'train_dataloader.dataset.metainfo.classes=cat': "is the text 'cat'",
    'train_dataloader.dataset.metainfo.classes=cow': "'cow' is no class of",
    'train_dataloader.dataset.metainfo.classes=order': 'another order',
    'val_dataloader.dataset.ann_file=train.json': 'would compare other',
    'val_evaluator.ann_file=other.json': 'would compare other images',
    'model.bbox_head.num_classes=1': 'the data has 2 classes: set 2',
    'model.bbox_head.num_classes=0': 'must be a number above 0',
    'model.bbox_head.num_classes=-1': 'must be a number above 0',
    'model.bbox_head.strides=few': 'puts out 3 maps of strides [16, 32, 64]',
    'model.bbox_head.strides=wrong': 'set [16, 32, 64]',
    'model.rpn_head=wrong': 'model.rpn_head.anchor_generator.strides are',
    'model.neck.in_channels=wrong': 'puts out 2 maps of [384, 512] channels',
    'model.neck.in_channels=few': 'puts out 2 maps of [384, 512] channels',
    'train_cfg.val_interval=0': 'must be a whole number above 0',
    'model.roi_head=mask_iou': 'model.roi_head.mask_iou_head.num_classes is 1',
    'data_preprocessor=mixup': 'augments[0].num_classes is 5, and the data ha',
}
VALUES = {
    'cow': ('cat', 'cow'),
    'order': ('dog', 'cat'),
    'few': [384],
    'wrong': [8, 16, 32],
    'mask_iou': dict(mask_iou_head=dict(num_classes=1)),
    'mixup': dict(batch_augments=[dict(type='Mixup', num_classes=5)]),
}


def masked(**annotation):
    data = coco()
    for item in data['annotations']:
        item['segmentation'] = [[30, 30, 60, 30, 60, 50]]
    data['annotations'][3] |= annotation
    cfg = config()
    cfg['train_dataloader']['dataset']['pipeline'] = [
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    ]
    return found(data, cfg)


def test_masks_that_are_not_there():
    assert not masked().findings
    for value in ([], None):
        (error,) = masked(segmentation=value).errors
        assert 'no segmentation, and the pipeline loads masks' in error.what
        assert error.examples == ('4',)


@pytest.mark.parametrize('setting', SETTINGS)
def test_errors_of_settings(setting):
    key, _, value = setting.partition('=')
    cfg = config()
    if 'strides' in key or 'neck' in key or 'rpn_head' in key:
        cfg['model'] |= dict(backbone=BACKBONE, neck=dict(NECK))
    number = int(value) if value.lstrip('-').isdigit() else value
    value = VALUES.get(setting.partition('=')[2], number)
    if key == 'model.rpn_head':
        value = dict(anchor_generator=dict(strides=value))
    if key == 'data_preprocessor':  # which a model's own takes the place of
        del cfg['model'][key]
    put(cfg, key, value)
    said = [f'{f.where} {f.what}' for f in found(coco(), cfg).errors]
    assert any(SETTINGS[setting] in text for text in said), said


def test_other_heads_have_classes_of_their_own():
    cfg = config()
    cfg['model']['rpn_head'] = dict(num_classes=1)
    cfg['model']['roi_head'] = dict(semantic_head=dict(num_classes=183))
    assert not found(coco(), cfg).findings


def test_missing_metainfo_is_one_finding():
    cfg = config()
    del cfg['val_dataloader']['dataset']['metainfo']
    (error,) = found(coco(), cfg).errors
    assert error.count == 78 and "'person', 'bicycle'" in error.what
    assert 'set metainfo=dict(classes=...)' in error.what


def test_too_many_classes_only_warn():
    cfg = config()
    cfg['model']['bbox_head']['num_classes'] = 80
    (warning,) = found(coco(), cfg).findings
    assert warning.level == 'warning' and '78 are never tr' in warning.what


@pytest.mark.parametrize('size', [dict(scale=256), dict(scale_factor=0.5)])
def test_images_resized_by_one_number(size):
    cfg = config()
    cfg['model'] |= dict(backbone=BACKBONE, neck=NECK)
    step = dict(type='Resize', keep_ratio=False, **size)
    cfg['train_dataloader']['dataset']['pipeline'] = [step]
    assert not found(coco(), cfg).findings


def test_no_more_than_40_classes_are_listed():
    data = coco()
    names = [f'class {i}' for i in range(50)]
    data['categories'] = [
        dict(id=i, name=name) for i, name in enumerate(names)
    ]
    cfg = config()
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader']['dataset']['metainfo'] = dict(classes=names)
    (head, *rows) = found(data, cfg).tables[0].splitlines()
    assert head == 'train.json: 8 images, 16 boxes'
    assert rows[1] == '  class 0        8       8'
    assert len(rows) == 42 and rows[-1].strip() == '...'


def test_config_of_data_alone():
    cfg = config()
    del cfg['model']
    assert not found(coco(), cfg).findings


def test_training_images_in_validation():
    (warning,) = found(coco(8)).findings
    assert 'validates on images of the training' in warning.what


def test_wrapped_data_sets():
    cfg = config()
    both = [dataset('train.json'), dataset('none.json')]
    cfg['train_dataloader']['dataset'] = dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(type='ConcatDataset', datasets=both),
    )
    (error,) = found(coco(), cfg).errors
    assert error.where == 'none.json' and 'no such file' in error.what


def test_20_000_annotations_in_4_seconds():
    data = coco()
    box = data['annotations'][0]
    data['annotations'] = [
        box | dict(id=i, image_id=i % 8) for i in range(1, 20_001)
    ]
    start = time.process_time()
    found(data)
    assert time.process_time() - start < 4


VOC = """<annotation><size><width>64</width><height>64</height></size>
<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>
<xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"""


def found_in_voc(xml, listed='0', images=('0.jpg',), **options):
    """What is found in a data set of one file."""
    for name in ('Annotations', 'JPEGImages'):
        Path(name).mkdir()
    for name in images:
        Image.new('RGB', (SIZE, SIZE)).save(f'JPEGImages/{name}')
    Path('list.txt').write_text(listed)
    if xml is not None:
        Path('Annotations', f'{listed.strip()}.xml').write_text(xml)
    cfg = config()
    cfg['train_dataloader']['dataset'] = dict(
        type='XMLDataset',
        ann_file='list.txt',
        data_prefix=dict(sub_data_root='.'),
        metainfo=dict(classes=('cat', 'dog')),
    ) | dict(options)
    del cfg['val_dataloader'], cfg['val_evaluator']
    return found(coco(), cfg).findings


CAT = VOC.format('cat', 1, 1, 20, 20)


@pytest.mark.parametrize(
    'xml, words',
    [
        (CAT, None),
        (VOC.format('cat', 20, 1, 1, 20), 'has no area'),
        (VOC.format('cat', 1, 1, 'nan', 20), 'is NaN or infinite'),
        (VOC.format('cow', 1, 1, 20, 20), 'does not list are dropped'),
        (VOC.format('cat', 'x', 1, 20, 20), 'cannot be read'),
        ('<annotation><object/></annotation>', 'an object has no name'),
        ('<html>', 'cannot be read'),
        (CAT.replace('>64<', '>64.0<'), "'64.0'"),
        (CAT.replace('>64<', '>1<'), 'lies outside its image'),
        (
            CAT.replace(
                '</name>', '</name><difficult>Unspecified</difficult>'
            ),
            "cannot be read: invalid literal for int() with base 10: 'Unspec",
        ),
        (None, 'cannot be read'),
    ],
)
def test_voc(xml, words):
    said = [f.what for f in found_in_voc(xml)]
    if words is None:
        (text,) = said
        assert "'dog' is no class of 'list.txt', which has ['cat']" in text
    else:
        assert any(words in text for text in said), said


@pytest.mark.parametrize('least', [None, 32])
def test_voc_of_size_0(least):
    """As labelImg may write it: a minimum size drops such images."""
    findings = found_in_voc(
        CAT.replace('64', '0'),
        images=('0.png',),
        filter_cfg=dict(min_size=least) if least else None,
    )
    missing, size = (
        next(f for f in findings if words in f.what)
        for words in ('an image is missing', 'has the size 0')
    )
    assert size.level == ('error' if least else 'warning')
    assert size.examples == ('Annotations/0.xml',)
    assert 'filter_cfg.min_size' in size.what
    assert '0.png is there' in missing.examples[0]


def test_voc_names_with_spaces():
    findings = found_in_voc(CAT, 'cell (1)\n', ['cell (1).jpg'])
    assert [f.where for f in findings] == ['metainfo.classes']


@pytest.mark.parametrize(
    'lines, words',
    [
        ('0.png 0\n1.png 1', None),
        ('0.png 0\n1.png 2', 'a label is outside 0 to 1'),
        ('0.png 0\n1.png -1', 'a label is outside 0 to 1'),
        ('0.png 0\n1.png cat', 'invalid literal'),
        ('0.png 0\nnone.png 1', 'an image is missing'),
        ('0.png 0', 'a class has no image'),
        ('', 'CustomDataset'),
    ],
)
def test_classification(folder, lines, words):
    pytest.importorskip('mmpretrain.datasets', exc_type=ImportError)
    (folder / 'list.txt').write_text(lines)
    data = dict(
        type='CustomDataset',
        data_root='',
        data_prefix='images',
        ann_file='list.txt',
        classes=['cat', 'dog'],
    )
    cfg = dict(
        default_scope='mmpretrain',
        model=dict(head=dict(num_classes=2)),
        train_dataloader=dict(dataset=data),
    )
    said = [f.what for f in found(coco(), cfg).findings]
    assert said == [] if words is None else any(words in t for t in said), said


def test_image_files(folder, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)
    (folder / 'page.png').write_text('<html></html>')
    (folder / 'empty.png').touch()
    os.mkfifo(folder / 'pipe.png')
    Image.new('1', (1, 64)).save('line.png')
    Image.new('1', (10_000, 10_000)).save('bomb.png')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (64, 32)).save('turned.jpg', exif=exif)
    nothing = (np.nan, np.nan)
    expected = {
        'page.png': 'cannot be read',
        'line.png': 'is a line of pixels',
        'bomb.png': 'has more than 89478485 pixels',
    }
    load = LoadImageFromFile()
    for how in (dict(), dict(load=load)):
        for file, words in expected.items():
            assert words in faulty_image(file, nothing, **how)[1]
        assert faulty_image('images/0.png', (64, 64), **how) is None
        assert faulty_image('turned.jpg', (32, 64), **how) is None
        _, what, sizes = faulty_image('turned.jpg', (64, 32), **how)
        assert 'another size' in what
        assert sizes == ' (32x64) (annotations: 64x32)'  # as it is seen
    assert 'empty file' in faulty_file('empty.png', nothing)[1]
    assert 'a pipe' in faulty_file('pipe.png', nothing)[1]


def test_the_loaders_options_are_obeyed(folder):
    """mmcv turns no image with such a flag, whatever its EXIF data say."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (64, 32)).save('images/0.png', exif=exif)
    data = coco()
    data['images'][0]['height'] = 32
    cfg = config()
    step = dict(
        type='LoadImageFromFile', color_type='color_ignore_orientation'
    )
    for depth in ('headers', 'decode'):
        cfg['train_dataloader']['dataset'].pop('pipeline', None)
        (error,) = found(data, cfg, depth=depth).errors
        assert error.examples == ('images/0.png (32x64) (annotations: 64x32)',)
        cfg['train_dataloader']['dataset']['pipeline'] = [step]
        said = [f.what for f in found(data, cfg, depth=depth).findings]
        assert not any('size' in what for what in said)


def test_images_are_decoded_as_the_training_does(folder):
    """Its header is whole, and OpenCV does not decode it."""
    pixels = np.random.default_rng(0).integers(256, size=(SIZE, SIZE, 3))
    Image.fromarray(pixels.astype(np.uint8)).save('whole.jpg')
    content = (folder / 'whole.jpg').read_bytes()
    (folder / 'images' / '3.png').write_bytes(content[:-20])
    (folder / 'images' / '4.png').write_text('<html></html>')
    (error,) = found(coco(), depth='headers').errors
    assert error.examples[0].startswith('images/4.png (it begins ')
    (folder / 'images' / '4.png').unlink()
    os.link('images/0.png', 'images/4.png')
    report = found(coco(), depth='decode', workers=2)
    (error,) = report.errors
    assert error.what == 'an image cannot be read'
    assert error.examples[0].startswith('images/3.png (it begins ')
    cfg = config()
    lenient = dict(type='LoadImageFromFile', ignore_empty=True)
    cfg['train_dataloader']['dataset']['pipeline'] = [lenient]
    (left_out,) = found(coco(), cfg, depth='decode').findings
    assert left_out.level == 'warning'
    assert 'cannot be read and left out' in left_out.what
    for i in range(8):  # nothing is left to train on, by two kinds of faults
        (folder / 'images' / f'{i}.png').unlink()
        (folder / 'images' / f'{i}.png').write_text('<html></html>' * (i % 2))
    assert len(found(coco(), cfg, depth='decode').errors) == 2
    with pytest.raises(ValueError, match="depth='deep' is none of decode"):
        found(coco(), depth='deep')


def test_16_bits_of_small_values(folder):
    values = np.linspace(7, 4095, SIZE * SIZE).reshape(SIZE, SIZE)
    Image.fromarray(values.astype(np.uint16)).save('images/2.png')
    (warning,) = found(coco(), depth='decode').findings
    assert warning.level == 'warning'
    assert 'is loaded as 8, nearly black' in warning.what
    assert warning.examples == ('images/2.png (7 to 4095)',)
    cfg = config()
    whole = dict(type='LoadImageFromFile', color_type='unchanged')
    cfg['train_dataloader']['dataset']['pipeline'] = [whole]
    assert not found(coco(), cfg, depth='decode').findings


def test_boxes_of_area_0_are_not_used():
    data = coco()
    for item in data['annotations'][::2]:  # all cats
        item['area'] = 0
    report = found(data)
    said = {finding.what: finding for finding in report.findings}
    (area,) = [f for what, f in said.items() if 'area of a box is 0' in what]
    assert area.count == 8
    assert said['no box of a class can be used'].examples == ('cat',)
    assert 'cat         8       0' in str(report)


def test_annotation_ids_from_0_where_a_metric_reads_them(folder):
    data = coco()
    for item in data['annotations']:
        item['id'] -= 1
    assert not found(data).errors
    validation = coco(8)
    for item in validation['annotations']:
        item['id'] -= 1
    (folder / 'val.json').write_text(json.dumps(validation))
    (error,) = found(coco()).errors
    assert error.where == 'val.json'
    assert 'has the id 0' in error.what


@pytest.mark.parametrize('value', [None, 'none'])
def test_iscrowd_is_needed_where_a_metric_reads_it(folder, value):
    def crowd(data):
        for item in data['annotations'][:3]:
            item.pop('iscrowd') if value else item.update(iscrowd=None)
        return data

    assert not found(crowd(coco())).errors
    (folder / 'val.json').write_text(json.dumps(crowd(coco(8))))
    (error,) = found(coco()).errors
    assert (error.where, error.count) == ('val.json', 3)
    assert 'lacks iscrowd' in error.what


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_mistyped_option_of_a_data_set(split):
    cfg = config()
    part = cfg[f'{split}_dataloader']['dataset']
    part['ann_fil'] = part['ann_file']
    (error,) = found(coco(), cfg).errors
    assert error.where == f'{split}_dataloader.dataset'
    assert "unexpected keyword argument 'ann_fil'" in error.what


@pytest.mark.parametrize(
    'value',
    [
        [30, 30, 60, 30, 60, 50],
        [[30, 30, 60, 50]],
        [[30, 30, 60, 30, 60, 50, 9]],
        dict(size=[64, 64]),
        dict(size=[32, 64], counts=[10, 20, 2018]),
    ],
    ids=['flat', 'four', 'odd', 'no runs', 'runs of another size'],
)
def test_segmentations_that_mmdet_does_not_read(value):
    whole = dict(size=[64, 64], counts=[10, 20, 4066])
    assert not masked(segmentation=whole).errors
    (error,) = masked(segmentation=value).errors
    assert 'is no list of polygons' in error.what
    assert error.examples == ('4',)


def test_two_categories_of_one_name():
    data = coco()
    data['categories'].append(dict(id=2, name='cat'))
    (error,) = found(data).errors
    assert 'several categories have one name' in error.what
    assert error.examples == ('cat',)
