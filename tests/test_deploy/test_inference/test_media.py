import json
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmvovnet.deploy.inference import media
from mmvovnet.deploy.inference.media import (
    detect_media,
    find_media,
    outputs,
)

CLASSES = ['cell', 'platelet']


def detect(images):
    """A box for each image, as large as its first pixel says."""
    return [
        (
            np.float32([[1, 2, 1 + int(i[0, 0, 0]), 22], [0, 0, 5, 5]]),
            np.float32([0.9, 0.1]),
            np.array([1, 0]),
        )
        for i in images
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two images of one name, a broken one, and a video of seven frames."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(('a/1.png', 'b/1.png'), start=1):
        Path(name).parent.mkdir()
        cv2.imwrite(name, np.full((40, 60, 3), 10 * i, np.uint8))
    Path('b/broken.jpg').write_bytes(b'no image')
    video = cv2.VideoWriter(
        'a/v.avi', cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 48)
    )
    for _ in range(7):
        video.write(np.full((48, 64, 3), 40, np.uint8))
    video.release()
    Path('b/notes.txt').write_text('no image')
    return tmp_path


def test_folders_patterns_and_files(folder):
    assert find_media(['a', 'b']) == [
        'a/1.png', 'a/v.avi', 'b/1.png', 'b/broken.jpg',
    ]  # fmt: skip
    assert find_media(['*/*.png']) == ['a/1.png', 'b/1.png']
    assert find_media(['b/1.png', 'b/*.png']) == ['b/1.png']
    assert find_media(['b/1.png', 'b/../b/1.png']) == ['b/1.png']
    for name in ('none.png', 'c*', 'data/'):
        with pytest.raises(FileNotFoundError, match=r"no image or video '"):
            find_media([name])


@pytest.mark.parametrize('batch_size', [1, 3])
def test_all_kinds(folder, batch_size, capsys):
    results, unread = detect_media(
        detect, CLASSES, find_media(['a', 'b']), 'out', 0.3, batch_size
    )
    assert unread == ['b/broken.jpg']
    written = sorted(
        str(p.relative_to('out')) for p in Path('out').rglob('*.*')
    )
    assert written == ['a/1.png', 'a/v.mp4', 'b/1.png']
    frames = cv2.VideoCapture('out/a/v.mp4')
    assert frames.get(cv2.CAP_PROP_FRAME_COUNT) == 7
    assert [r['image_id'] for r in results] == [
        'a/1.png', *[f'a/v.avi#{i}' for i in range(7)], 'b/1.png',
    ]  # fmt: skip
    assert results[0] == dict(
        image_id='a/1.png',
        category_id=1,
        bbox=[1, 2, 10, 20],
        score=pytest.approx(0.9),
    )
    said = capsys.readouterr().out
    assert 'out/a/1.png: 1 objects' in said
    assert 'out/a/v.mp4: 7 frames, 7 objects' in said


def test_masks_are_drawn_and_written(folder):
    mask = np.zeros((2, 40, 60), bool)
    mask[0, 20:38, 30:50] = True  # beside the box
    before = cv2.imread('a/1.png')
    results, _ = detect_media(
        lambda images: [(*found, mask) for found in detect(images)],
        CLASSES,
        ['a/1.png'],
        'out',
    )
    (found,) = results
    decoded = coco_mask.decode(found['segmentation'])
    assert (decoded == mask[0]).all()
    changed = (cv2.imread('out/1.png') != before).any(-1)
    assert changed[26:36, 32:48].all()
    assert not changed[26:36, 52:].any()


def test_ids_of_coco(folder):
    truth = dict(
        images=[dict(id=7, file_name='x/1.png')],
        categories=[dict(id=11, name='platelet'), dict(id=3, name='cell')],
    )
    Path('truth.json').write_text(json.dumps(truth))
    results, _ = detect_media(
        detect, CLASSES, ['a/1.png'], 'out', annotations='truth.json'
    )
    (found,) = results
    assert (found['image_id'], found['category_id']) == (7, 11)
    with pytest.raises(ValueError, match=r"no categories \['tail'\]"):
        detect_media(
            detect, ['tail'], ['a/1.png'], 'out', annotations='truth.json'
        )
    with pytest.raises(ValueError, match=r"'a/v\.avi' is a video: its frames"):
        detect_media(
            detect, CLASSES, ['a/v.avi'], 'out', annotations='truth.json'
        )
    truth['images'] = []
    Path('truth.json').write_text(json.dumps(truth))
    with pytest.raises(ValueError, match=r"no image '1\.png'"):
        detect_media(
            detect, CLASSES, ['a/1.png'], 'out', annotations='truth.json'
        )


def test_ids_by_the_longest_path(folder):
    truth = dict(
        images=[
            dict(id=1, file_name='x/a/1.png'),
            dict(id=2, file_name='x/b/1.png'),
        ],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)],
    )

    def ids(files):
        Path('truth.json').write_text(json.dumps(truth))
        results, _ = detect_media(
            detect, CLASSES, files, 'out', annotations='truth.json'
        )
        return [each['image_id'] for each in results]

    assert ids(['b/1.png', 'a/1.png']) == [2, 1]
    Path('c').mkdir()
    Path('c/1.png').write_bytes(Path('a/1.png').read_bytes())
    with pytest.raises(ValueError, match=r"'c/1\.png' may be any of"):
        ids(['c/1.png'])
    truth['images'] = truth['images'][:1]
    with pytest.raises(ValueError, match='are one image'):
        ids(['a/1.png', 'c/1.png'])


@pytest.mark.parametrize('file', ['a/1.png', 'a/v.avi'])
def test_the_best_score_of_no_objects_is_said(file, folder, capsys):
    detect_media(detect, CLASSES, [file], 'out', score_thr=0.95)
    said = capsys.readouterr().out
    assert '0 objects (best score 0.900, below --score-thr 0.95)' in said


@pytest.mark.parametrize(
    'kind, shape',
    [('grayscale', (40, 60)), ('unchanged', (40, 60, 4))],
)
def test_images_of_one_and_four_channels(kind, shape, folder):
    seen = []

    def see(images):
        seen.extend(image.shape for image in images)
        return [
            (
                np.float32([[1, 2, 9, 9]]),
                np.ones(1),
                np.ones(1, int),
            )
            for _ in images
        ]

    cv2.imwrite('four.png', np.full((40, 60, 4), 9, np.uint8))
    detect_media(see, CLASSES, ['four.png'], 'out', color_type=kind)
    assert seen == [shape]
    assert cv2.imread('out/four.png').shape == (40, 60, 3)
    if kind == 'grayscale':
        detect_media(see, CLASSES, ['a/v.avi'], 'out', color_type=kind)
        assert seen[1:] == [(48, 64)] * 7
        return
    with pytest.raises(ValueError, match=r"1\.png' is of shape .*four chan"):
        detect_media(see, CLASSES, ['a/1.png'], 'out', color_type=kind)
    with pytest.raises(ValueError, match=r"'a/v\.avi' is a video"):
        detect_media(see, CLASSES, ['a/v.avi'], 'out', color_type=kind)


def test_order_is_kept_while_threads_read_and_write(folder, monkeypatch):
    """Images come in order, whichever is read first, and are read ahead."""
    names = [f'{i:02}.png' for i in range(12)]
    for i, name in enumerate(names):
        cv2.imwrite(name, np.full((40, 60, 3), i, np.uint8))
    threads, ahead = set(), []

    def read(file, color_type):
        time.sleep(0.02 * (file < '04.png'))  # the first are late
        threads.add(threading.current_thread())
        ahead.append(file)
        return cv2.imread(file)

    def see(images):
        time.sleep(0.01)
        counts.append(len(ahead))
        return detect(images)

    counts = []
    monkeypatch.setattr(media, 'read_image', read)
    results, unread = detect_media(see, CLASSES, names, 'out')
    assert [each['image_id'] for each in results] == names
    assert [each['bbox'][2] for each in results] == list(range(12))
    assert not unread
    assert threading.main_thread() not in threads and len(threads) > 1
    assert counts[2] > 3


def test_a_picture_that_cannot_be_written_is_an_error(folder):
    Path('out').write_text('not a folder')
    with pytest.raises(OSError, match='out'):
        detect_media(detect, CLASSES, find_media(['a', 'b']), 'out')


@pytest.mark.parametrize('files', [['a/v.avi'], ['a/1.png', 'b/1.png']])
@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_what_stops_the_network_stops_the_threads(error, files, folder):
    def fail(images):
        if images[0][0, 0, 0] == 10:  # of the first picture
            return detect(images)
        raise error

    before = set(threading.enumerate())
    with pytest.raises(error):
        detect_media(fail, CLASSES, files, 'out')
    assert set(threading.enumerate()) <= before
    if len(files) == 2:
        assert cv2.imread('out/a/1.png') is not None


def test_names_that_opencv_cannot_draw(folder, monkeypatch, capsys):
    for version, hints in (('5.0.0', 0), ('4.13.0', 1)):
        monkeypatch.setattr(cv2, '__version__', version)
        detect_media(detect, ['猫', '犬'], ['a/1.png', 'b/1.png'], 'out')
        said = capsys.readouterr().err
        assert said.count('install opencv-python>=5') == hints


def test_videos_do_not_overwrite_each_other(folder):
    Path('a/v.mov').write_bytes(Path('a/v.avi').read_bytes())
    with pytest.raises(ValueError, match='would overwrite'):
        detect_media(detect, CLASSES, ['a/v.avi', 'a/v.mov'], 'out')
    with pytest.raises(ValueError, match='would overwrite'):
        Path('a/v.mp4').write_bytes(b'')
        detect_media(detect, CLASSES, ['a/v.avi', 'a/v.mp4'], 'a')


def test_images_are_not_overwritten(folder):
    before = Path('a/1.png').read_bytes()
    with pytest.raises(ValueError, match='would overwrite'):
        detect_media(detect, CLASSES, ['a/1.png'], 'a')
    assert Path('a/1.png').read_bytes() == before


@pytest.mark.parametrize(
    'images, expected',
    [
        (['a/1.png', 'a/2.png'], ['out/1.png', 'out/2.png']),
        (['a/1.png', 'b/1.png'], ['out/a/1.png', 'out/b/1.png']),
    ],
)
def test_a_picture_for_each_image(images, expected):
    assert [path.as_posix() for path in outputs(images, 'out')] == expected


@pytest.mark.parametrize(
    'images, said',
    [
        (['a/1.png'], 'would overwrite'),
        (['b/1.png', 'b/../b/1.png'], 'would overwrite'),
    ],
)
def test_no_image_is_overwritten(images, said):
    with pytest.raises(ValueError, match=said):
        outputs(images, 'a')
