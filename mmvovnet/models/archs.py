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

from .checks import check_flag, is_count, require
from .layers import GATES

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
    row = dict(num_modules=modules, num_layers=layers)
    return DEFAULTS | width | row | rest


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

_REQUIRED = (*_BASE, 'num_modules', 'num_layers')


def resolve_arch(arch: str | dict, **overrides: Any) -> dict[str, Any]:
    """Look up or check an architecture and apply a config's options to it.

    Args:
        arch: A key of :data:`ARCHS`, or a dict of its fields, which stays as
            it is; those of :data:`DEFAULTS` may be left out.
        **overrides: Fields to replace. ``None`` keeps the arch's own value.

    Raises:
        TypeError: If ``arch`` is neither a str nor a dict, has unknown
            fields, or a flag is no bool.
        ValueError: If the name is unknown, fields are missing, or their
            values are wrong.

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
                f'arch dict misses {missing}; only {list(DEFAULTS)} may be '
                'left out'
            )
        row = {**DEFAULTS, **arch}
    else:
        raise TypeError(
            f'arch must be a str or a dict, got {type(arch).__name__}'
        )
    row.update({k: v for k, v in overrides.items() if v is not None})

    for key in _REQUIRED:
        one = key == 'num_layers'  # for the whole network
        counts = [row[key]] if one else row[key]
        require(
            isinstance(counts, list | tuple)
            and counts
            and all(map(is_count, counts)),
            f'arch[{key!r}]',
            'a positive integer' if one else 'a sequence of positive integers',
            row[key],
        )
    check_flag('depthwise', row['depthwise'])
    if row['identity'] != 'every':
        check_flag('identity', row['identity'])
    lengths = {key: len(row[key]) for key in _REQUIRED[1:4]}
    require(
        len({*lengths.values()}) == 1,
        'the per-stage fields of arch',
        'of one length, a value per stage',
        lengths,
    )
    stem = row['stem_channels']
    require(len(stem) == 3, "arch['stem_channels']", '3 values', stem)
    require(row['gate'] in GATES, 'gate', f'one of {[*GATES]}', row['gate'])
    require(
        row['gate_place'] in ('every', 'last'),
        'gate_place',
        "'every' or 'last'",
        row['gate_place'],
    )
    return row
