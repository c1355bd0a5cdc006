import json
import runpy
from pathlib import Path

import pytest
from split_data import divide, split_coco, split_voc

TOOL = Path(__file__).parents[2] / 'tools' / 'split_data.py'


@pytest.fixture
def voc(tmp_path):
    for folder, suffix in (('Annotations', '.xml'), ('JPEGImages', '.jpg')):
        (tmp_path / folder).mkdir()
        for i in range(10):
            (tmp_path / folder / f'{i}{suffix}').touch()
    return tmp_path


def test_parts_are_disjoint_and_repeatable():
    parts = divide(range(100), 0.2, 0.1)
    assert sorted(i for part in parts.values() for i in part) == list(
        range(100)
    )
    assert parts == divide(range(100), 0.2, 0.1)
    assert parts != divide(range(100), 0.2, 0.1, seed=1)


@pytest.mark.parametrize('val, test', [(0, 0), (1, 0), (0.6, 0.5), (0.2, -1)])
def test_shares(val, test):
    with pytest.raises(ValueError, match='must be shares'):
        divide(range(10), val, test)
    with pytest.raises(ValueError, match='too few'):
        divide(range(2), 0.1, 0.1)


def test_voc(voc):
    files = split_voc(voc, 0.2, 0.1)
    assert [path.name for path in files] == [
        'train.txt',
        'val.txt',
        'test.txt',
    ]
    names = [path.read_text().split() for path in files]
    assert [len(part) for part in names] == [7, 2, 1]
    assert sorted(name for part in names for name in part) == [
        str(i) for i in range(10)
    ]
    with pytest.raises(FileExistsError, match=r"train\.txt' is there"):
        split_voc(voc, 0.2, 0)
    assert split_voc(voc, 0.2, 0, overwrite=True) == files[:2]
    assert not files[2].exists()  # its image is one of the other parts' now
    image = voc / 'JPEGImages' / '3.jpg'
    image.rename(image.with_suffix('.png'))
    with pytest.raises(
        FileNotFoundError, match='of 3 whose name ends in .jpg'
    ):
        split_voc(voc, 0.2, 0.1)


def test_coco(tmp_path):
    truth = dict(
        images=[dict(id=i) for i in range(10)],
        annotations=[dict(id=i, image_id=i % 10) for i in range(30)],
        categories=[dict(id=1, name='cell')],
    )
    (tmp_path / 'all.json').write_text(json.dumps(truth))
    train, val = split_coco(tmp_path / 'all.json', 0.2, 0)
    for path, count in ((train, 8), (val, 2)):
        part = json.loads(path.read_text())
        ids = {image['id'] for image in part['images']}
        assert len(ids) == count and len(part['annotations']) == 3 * count
        assert {a['image_id'] for a in part['annotations']} == ids
        assert part['categories'] == truth['categories']
    with pytest.raises(ValueError, match='would overwrite'):
        split_coco(train, 0.2, 0)
    val.write_text('')
    with pytest.raises(FileExistsError, match='--overwrite replaces'):
        split_coco(tmp_path / 'all.json', 0.2, 0)
    split_coco(tmp_path / 'all.json', 0.2, 0, overwrite=True)
    assert json.loads(val.read_text())['images']


@pytest.mark.parametrize(
    'content, message',
    [
        ('[]', 'no COCO JSON: TypeError'),
        ('{"images": []', 'no COCO JSON: JSONDecodeError'),
        ('{"images": []}', "no COCO JSON: KeyError: 'annotations'"),
        ('{"images": [{}], "annotations": []}', "KeyError: 'id'"),
        ('{"images": [], "annotations": [{"image_id": 7}]}', 'such as 7'),
    ],
)
def test_coco_of_another_form(content, message, tmp_path):
    path = tmp_path / 'all.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"all\.json' .*{message}"):
        split_coco(path, 0.2, 0)


def test_tool(voc, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['split_data.py', str(voc)])
    runpy.run_path(str(TOOL), run_name='__main__')
    assert 'val.txt' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        monkeypatch.setattr('sys.argv', ['split_data.py', 'none'])
        runpy.run_path(str(TOOL), run_name='__main__')
    assert "there is no 'none'" in capsys.readouterr().err


def test_voc_in_other_folders(voc, monkeypatch, capsys):
    (voc / 'Annotations').rename(voc / 'xml')
    (voc / 'JPEGImages').rename(voc / 'photographs')
    with pytest.raises(FileNotFoundError, match='Annotations'):
        split_voc(voc, 0.2, 0)
    folders = ['--ann-subdir', 'xml', '--img-subdir', 'photographs']
    options = ['--val', '0.2', '--test', '0.1', *folders]
    monkeypatch.setattr('sys.argv', [str(TOOL), str(voc), *options])
    runpy.run_path(str(TOOL), run_name='__main__')
    main = voc / 'ImageSets' / 'Main'
    counts = [
        len((main / f'{part}.txt').read_text().split())
        for part in ('train', 'val', 'test')
    ]
    assert counts == [7, 2, 1]
