"""Checks of VoVNet's options, before anything is built."""

from collections.abc import Sequence
from typing import Any

from torch import nn


def require(holds: Any, option: str, expected: str, value: Any) -> None:
    """Refuse an option's value unless a condition holds."""
    if not holds:
        raise ValueError(f'{option} must be {expected}, got {value!r}')


def check_flags(**flags: Any) -> None:
    """Refuse what is not True or False: 'no' from a command line is true."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f'{name} must be True or False, got {value!r}')


def is_count(value: Any, low: int = 1, high: float = float('inf')) -> bool:
    """Whether a value is an integer, and no bool, from ``low`` to ``high``."""
    return type(value) is int and low <= value <= high


def check_indices(indices: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Give ``out_indices``, counted from 0, if they are stages, each once."""
    low, high = -num_stages, num_stages - 1
    given = indices if isinstance(indices, list | tuple) else ()
    stages = [i % num_stages for i in given if is_count(i, low, high)]
    require(
        stages and len({*stages}) == len(given),
        'out_indices',
        f'like (3,), stages from {low} to {high}, none of them twice',
        indices,
    )
    return tuple(stages)


def check_options(
    arch: dict[str, Any],
    in_channels: int,
    frozen_stages: int,
    stem_strides: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pool_padding: int,
    drop_path_rate: float,
    bottleneck: bool,
    stage_with_dcn: Sequence[bool] | None,
) -> None:
    """Refuse what is out of range, and layers that exclude each other."""
    stages = len(arch['num_modules'])
    require(
        is_count(in_channels), 'in_channels', 'a positive integer', in_channels
    )
    require(
        is_count(frozen_stages, -1, stages),
        'frozen_stages',
        f'from -1 (none) to {stages} (stem and all stages)',
        frozen_stages,
    )
    require(
        len(stem_strides) == 3 and {*stem_strides} == {1, 2},
        'stem_strides',
        '3 values of 1 or 2 with a product of 4, or of 2 as in the paper, '
        'whose first stage starts with a max pool',
        stem_strides,
    )
    require(
        len(strides) == stages
        and {*strides} <= {1, 2}
        and (strides[0] == 1 or [*stem_strides].count(2) == 1),
        'strides',
        f'{stages} values of 1 or 2, one per stage, and the first of them 1 '
        'where the stem has a stride of 4',
        strides,
    )
    require(
        len(dilations) == stages and all(map(is_count, dilations)),
        'dilations',
        f'{stages} positive integers, one per stage',
        dilations,
    )
    require(
        is_count(pool_padding, 0, 1), 'pool_padding', '0 or 1', pool_padding
    )
    require(
        0 <= drop_path_rate < 1, 'drop_path_rate', 'in [0, 1)', drop_path_rate
    )
    require(
        arch['identity'] or not drop_path_rate,
        'drop_path_rate',
        '0 where modules lack identity=True, as it would drop the features',
        drop_path_rate,
    )
    if arch['depthwise'] and (bottleneck or stage_with_dcn):
        option = 'bottleneck' if bottleneck else 'dcn'
        raise ValueError(
            f'{option} replaces dense 3x3 convs, and this arch is depthwise; '
            'leave one of them out'
        )
    if stage_with_dcn is None:
        return
    require(
        len(stage_with_dcn) == stages,
        'stage_with_dcn',
        f'{stages} values, one per stage',
        stage_with_dcn,
    )
    try:
        import mmcv.ops  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'dcn needs mmcv with its ops, and this mmcv has none '
            '(python tools/install_mmcv.py builds them)'
        ) from error


def check_groups(model: nn.Module) -> None:
    """Refuse deformable convs with which mmcv's ops leave their memory."""
    for name, module in model.named_modules():
        if not type(module).__module__.startswith('mmcv.ops'):
            continue
        inputs = getattr(module, 'in_channels', 0)
        outputs = getattr(module, 'out_channels', 0)
        for option, channels in (
            ('groups', (inputs, outputs)),
            ('deform_groups', (inputs,)),
            ('im2col_step', (0,)),
        ):
            value = getattr(module, option, 1)
            require(
                is_count(value) and not any(n % value for n in channels),
                f"{option} of '{name}', a {type(module).__name__},",
                'a positive integer and, for groups, divide its channels',
                value,
            )
