"""The metadata of an exported file, checked while they are read."""

import json
from collections.abc import Callable, Mapping
from typing import Any

SUFFIXES = {
    'onnx': '.onnx',
    'torchscript': '.torchscript',
    'torch-export': '.pt2',
    'openvino': '.xml',
}
# By the order of a file's channels, what mmcv's imread takes.
COLOR_TYPES = {
    'RGB': 'color',
    'BGR': 'color',
    'BGRA': 'unchanged',
    'grey': 'grayscale',
}


def _count(value: Any) -> bool:
    return type(value) is int and 0 < value < 10**6


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e6


def _list(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(holds, value))


def _size(value: Any) -> bool:
    return _list(value, _count) and len(value) == 2


_WORDS: dict[str, Callable[[Any], bool]] = {
    'raw, boxes or detections': ('raw', 'boxes', 'detections').__contains__,
    'RGB, BGR, BGRA or grey': tuple(COLOR_TYPES).__contains__,
    'true or false': lambda v: isinstance(v, bool),
    'a positive integer': _count,
    'from 0 to 1': lambda v: _number(v) and 0 <= v <= 1,
    'names': lambda v: _list(v, lambda x: isinstance(x, str)),
    'one name or more': lambda v: bool(v) and _WORDS['names'](v),
    'numbers': lambda v: _list(v, _number),
    'positive numbers': lambda v: _list(v, lambda x: _number(x) and x > 0),
    'a width and a height': _size,
    'a width and a height, or null': lambda v: v is None or _size(v),
}
_RULES = {
    'kind': 'raw, boxes or detections',
    'outputs': 'one name or more',
    'classes': 'names',
    'mean': 'numbers',
    'std': 'positive numbers',
    'order': 'RGB, BGR, BGRA or grey',
    'divisor': 'a positive integer',
    'scale': 'a width and a height',
    'keep_ratio': 'true or false',
    'pad_size': 'a width and a height, or null',
    'pad_divisor': 'a positive integer',
    'pad_value': 'numbers',
    'iou_threshold': 'from 0 to 1',
    'class_agnostic': 'true or false',
    'max_per_img': 'a positive integer',
}


def decode(texts: Mapping[str, str]) -> dict[str, Any]:
    """Decode values; what is not JSON, of other programs, stays as text.

    Example:
        >>> decode({'outputs': '["logits"]', 'author': 'John'})
        {'outputs': ['logits'], 'author': 'John'}
    """
    metadata: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            metadata[key] = json.loads(text)
        except (ValueError, RecursionError):
            metadata[key] = text
    return metadata


def check(metadata: Any) -> None:
    """Refuse metadata by which a model can't run.

    Raises:
        ValueError: If a value is wrong, or one that is needed is missing.
    """
    if not isinstance(metadata, dict):
        raise ValueError('its metadata are no dict')
    needed = ['outputs', 'kind']
    if metadata.get('kind') in ('boxes', 'detections') and 'scale' in metadata:
        needed = [*_RULES]
    if missing := [key for key in needed if key not in metadata]:
        raise ValueError(
            f'it has no metadata {missing}; make it with tools/export.py'
        )
    for key, words in _RULES.items():
        if key in metadata and not _WORDS[words](metadata[key]):
            raise ValueError(
                f'its metadata say {key}={metadata[key]!r:.60}, which must '
                f'be {words}'
            )
