"""The metadata of an exported file, checked while they are read."""

import json
from collections.abc import Callable, Mapping
from typing import Any

# By the order of a file's channels, what mmcv's imread takes; color else.
COLOR_TYPES = {'grey': 'grayscale', 'BGRA': 'unchanged'}


def _is_list_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e6


def _are_numbers(value: Any) -> bool:
    return _is_list_of(value, (int, float)) and all(map(_is_number, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 10**6


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(_is_count, value))
    )


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    'kind': (lambda v: v in ('raw', 'boxes', 'detections'), 'an output'),
    'outputs': (lambda v: bool(v) and _is_list_of(v, str), 'names'),
    'classes': (lambda v: _is_list_of(v, str), 'names'),
    'mean': (_are_numbers, 'numbers'),
    'std': (
        lambda v: _are_numbers(v) and all(x > 0 for x in v),
        'positive numbers',
    ),
    'order': (
        lambda v: v in ('RGB', 'BGR', 'BGRA', 'grey'),
        'RGB, BGR, BGRA or grey',
    ),
    'divisor': (_is_count, 'a positive integer'),
    'scale': (_is_size, 'a width and a height'),
    'keep_ratio': (_is_bool, 'true or false'),
    'pad_size': (
        lambda v: v is None or _is_size(v),
        'a width and a height, or null',
    ),
    'pad_divisor': (_is_count, 'a positive integer'),
    'pad_value': (_are_numbers, 'numbers'),
    'iou_threshold': (
        lambda v: _is_number(v) and 0 <= v <= 1,
        'from 0 to 1',
    ),
    'class_agnostic': (_is_bool, 'true or false'),
    'max_per_img': (_is_count, 'a positive integer'),
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

    Args:
        metadata (dict): What a file says.

    Raises:
        ValueError: If a value is wrong, or one that is needed is missing.
    """
    if not isinstance(metadata, dict):
        raise ValueError('its metadata are no dict')
    needed = ['outputs', 'kind']
    if metadata.get('kind') in ('boxes', 'detections') and 'scale' in metadata:
        needed = [*_RULES]
    missing = [key for key in needed if key not in metadata]
    if missing:
        raise ValueError(
            f'it has no metadata {missing}; make it with tools/export.py'
        )
    for key, (holds, words) in _RULES.items():
        if key in metadata and not holds(metadata[key]):
            raise ValueError(
                f'its metadata say {key}={metadata[key]!r:.60}, which must '
                f'be {words}'
            )
