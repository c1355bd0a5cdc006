"""The VoVNet family as data.

V1 is Table 1 of arXiv 1904.09730 (V-93 and V-99 come from its authors' code),
V2 is arXiv 1911.06667, whose names end in ``-eSE``. A row holds, per stage or
for the whole network:

==================== =====================================================
``stem_channels``    channels of the three stem convs
``conv_channels``    channels of a module's 3x3 convs, per stage
``out_channels``     channels after aggregation, per stage
``num_modules``      One-Shot Aggregation modules, per stage
``num_layers``       3x3 convs in a module
``depthwise``        depthwise separable convs instead of dense ones
``gate``             channel gate of a module: none, SE, eSE or ECA
``gate_place``       in 'every' module of a stage or in its 'last' one
``identity``         add a module's input to its output from a stage's second
                     module on, or in 'every' one of equal channels
==================== =====================================================
"""

from typing import Any

from .checks import check_flags, is_count

_SLIM = dict(
    stem_channels=(64, 64, 128),
    conv_channels=(64, 80, 96, 112),
    out_channels=(112, 256, 384, 512),
)
_BASE = dict(
    stem_channels=(64, 64, 128),
    conv_channels=(128, 160, 192, 224),
    out_channels=(256, 512, 768, 1024),
)
_DEPTHWISE = dict(stem_channels=(64, 64, 64), depthwise=True)

DEFAULTS: dict[str, Any] = dict(
    depthwise=False, gate='none', gate_place='every', identity=True
)


def _row(width: dict, modules: tuple, layers: int, **rest: Any) -> dict:
    return {
        **DEFAULTS,
        **width,
        'num_modules': modules,
        'num_layers': layers,
        **rest,
    }


_SLIM_V1 = {**_SLIM, 'out_channels': (128, 256, 384, 512)}

ARCHS: dict[str, dict[str, Any]] = {
    'V-27-slim': _row(_SLIM_V1, (1, 1, 1, 1), 5),
    'V-39': _row(_BASE, (1, 1, 2, 2), 5),
    'V-57': _row(_BASE, (1, 1, 4, 3), 5),
    'V-93': _row(_BASE, (1, 3, 8, 3), 5),
    'V-99': _row(_BASE, (1, 3, 9, 3), 5),
    'V-19-slim-dw-eSE': _row(_SLIM | _DEPTHWISE, (1, 1, 1, 1), 3, gate='eSE'),
    'V-19-dw-eSE': _row(_BASE | _DEPTHWISE, (1, 1, 1, 1), 3, gate='eSE'),
    'V-19-slim-eSE': _row(_SLIM, (1, 1, 1, 1), 3, gate='eSE'),
    'V-19-eSE': _row(_BASE, (1, 1, 1, 1), 3, gate='eSE'),
    'V-39-eSE': _row(_BASE, (1, 1, 2, 2), 5, gate='eSE'),
    'V-57-eSE': _row(_BASE, (1, 1, 4, 3), 5, gate='eSE'),
    'V-99-eSE': _row(_BASE, (1, 3, 9, 3), 5, gate='eSE'),
}

_REQUIRED = (
    'stem_channels',
    'conv_channels',
    'out_channels',
    'num_modules',
    'num_layers',
)
_PER_STAGE = ('conv_channels', 'out_channels', 'num_modules')


def _check_counts(key: str, value: Any) -> None:
    one = key == 'num_layers'  # for the whole network
    several = isinstance(value, list | tuple)
    counts = [value] if one else value
    if one == several:
        kind = 'a positive integer' if one else 'a sequence of them'
        raise TypeError(f'arch[{key!r}] must be {kind}, got {value!r}')
    if not counts or not all(map(is_count, counts)):
        raise ValueError(
            f'arch[{key!r}] must hold positive integers, got {value!r}'
        )


def resolve_arch(arch: str | dict, **overrides: Any) -> dict[str, Any]:
    """Look up or check an architecture and apply a config's options to it.

    Args:
        arch (str | dict): A key of :data:`ARCHS`, or a dict of its fields;
            those of :data:`DEFAULTS` may be left out.
        **overrides: Fields to replace. ``None`` keeps the arch's own value.

    Returns:
        dict: A complete row; the caller's dict is not changed.

    Raises:
        TypeError: If ``arch`` is neither a str nor a dict, a flag is no bool,
            or the dict has unknown fields or a number for a sequence.
        ValueError: If the name is unknown, or the dict is incomplete or has
            sequences of unequal lengths.

    Example:
        >>> resolve_arch('V-39', gate='SE')['gate']
        'SE'
    """
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(
                f'unknown arch {arch!r}; choose one of {", ".join(ARCHS)}, or '
                'pass a dict of the same fields'
            )
        row = dict(ARCHS[arch])
    elif isinstance(arch, dict):
        fields = (*_REQUIRED, *DEFAULTS)
        if unknown := [key for key in arch if key not in fields]:
            raise TypeError(
                f'arch has no fields {unknown}; it has {", ".join(fields)}'
            )
        if missing := [key for key in _REQUIRED if key not in arch]:
            raise ValueError(
                f'arch dict misses {missing}; its fields are '
                f'{[*_REQUIRED, *DEFAULTS]}, of which {list(DEFAULTS)} may be '
                'left out'
            )
        row = {**DEFAULTS, **arch}
    else:
        raise TypeError(
            f'arch must be a str or a dict, got {type(arch).__name__}'
        )
    row.update({k: v for k, v in overrides.items() if v is not None})

    for key in _REQUIRED:
        _check_counts(key, row[key])
    check_flags(depthwise=row['depthwise'])
    if row['identity'] != 'every':
        check_flags(identity=row['identity'])
    lengths = {key: len(row[key]) for key in _PER_STAGE}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f'the per-stage fields of arch differ in length: {lengths}; each '
            'needs one value per stage'
        )
    if len(row['stem_channels']) != 3:
        raise ValueError(
            "arch['stem_channels'] must hold 3 values, one per stem conv, "
            f'got {row["stem_channels"]!r}'
        )
    if row['gate_place'] not in ('every', 'last'):
        raise ValueError(
            f"gate_place must be 'every' or 'last', got {row['gate_place']!r}"
        )
    return row
