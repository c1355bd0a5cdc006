import json

import pytest
import torch

from mmvovnet.deploy.inference import runtime
from mmvovnet.deploy.metadata import check, decode

GOOD = dict(
    kind='boxes',
    outputs=['all_boxes', 'all_scores'],
    classes=['cell'],
    scale=[320, 240],
    keep_ratio=True,
    pad_size=None,
    pad_divisor=1,
    pad_value=[0, 0, 0],
    mean=[0, 0, 0],
    std=[1, 1, 1],
    order='RGB',
    divisor=32,
    iou_threshold=0.5,
    class_agnostic=False,
    max_per_img=100,
)


def test_what_other_programs_add_stays_text():
    texts = {key: json.dumps(value) for key, value in GOOD.items()}
    more = {'author': 'John', 'onnx.infer': 'onnxruntime.quant', 'deep': '['}
    assert decode({**texts, **more}) == {**GOOD, **more}
    check(decode({**texts, **more}))
    assert decode({'x': '[' * 100_000}) == {'x': '[' * 100_000}


@pytest.mark.parametrize(
    'key, value',
    [
        ('kind', 'faces'),
        ('kind', []),
        ('outputs', []),
        ('outputs', 'all_boxes'),
        ('classes', [1]),
        ('mean', ['a']),
        ('mean', [float('nan')]),
        ('std', [0, 1, 1]),
        ('order', 'RBG'),
        ('divisor', 0),
        ('divisor', True),
        ('scale', [320]),
        ('scale', [10**9, 10**9]),
        ('keep_ratio', 1),
        ('pad_size', [320]),
        ('pad_value', '114'),
        ('class_agnostic', None),
        ('iou_threshold', 'high'),
        ('max_per_img', -1),
    ],
)
def test_wrong_values(key, value):
    check(GOOD)
    with pytest.raises(ValueError, match=f'{key}='):
        check({**GOOD, key: value})


@pytest.mark.parametrize(
    'key', ['outputs', 'kind', 'keep_ratio', 'max_per_img']
)
def test_missing_values(key):
    with pytest.raises(ValueError, match=f'no metadata.*{key}'):
        check({k: v for k, v in GOOD.items() if k != key})


def test_no_dict():
    with pytest.raises(ValueError, match='no dict'):
        check([GOOD])


@pytest.fixture(scope='module')
def scripted(tmp_path_factory):
    path = tmp_path_factory.mktemp('exported') / 'a.torchscript'
    module = torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2))
    extra = {'metadata.json': json.dumps(dict(kind='raw', outputs=['y']))}
    torch.jit.save(module, str(path), _extra_files=extra)
    return path


@pytest.mark.parametrize(
    'harm',
    [
        lambda data: b'',
        lambda data: data[:100],
        lambda data: data[:-100],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b'"kind": "raw"', b'"kind": "rob"'),
        lambda data: data.replace(b'{"kind"', b'["kind"'),
        lambda data: b'<!DOCTYPE html>',
    ],
)
@pytest.mark.parametrize('suffix', ['.torchscript', '.pt2', '.onnx', '.xml'])
def test_damaged_files(scripted, tmp_path, suffix, harm):
    if suffix == '.onnx':
        pytest.importorskip('onnxruntime')
    if suffix == '.xml':
        pytest.importorskip('openvino')
    path = tmp_path / f'a{suffix}'
    path.write_bytes(harm(scripted.read_bytes()))
    with pytest.raises(ValueError, match=f"a{suffix}' can't be read") as error:
        runtime.load_exported(path)
    assert '\n' not in str(error.value)
