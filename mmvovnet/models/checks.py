"""Checks of VoVNet's options, before anything is built."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from .layers import GATES


def check_flags(**flags: Any) -> None:
    """Refuse what is not True or False: 'no' from a command line is true."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f'{name} must be True or False, got {value!r}')


def is_count(value: Any, low: int = 1, high: float = float('inf')) -> bool:
    """Whether a value is an integer, and no bool, from ``low`` to ``high``."""
    return type(value) is int and low <= value <= high


def check_indices(indices: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Refuse ``out_indices`` that name no stage, or one twice.

    Returns:
        tuple[int]: The indices, counted from 0.
    """
    if not isinstance(indices, Sequence) or isinstance(indices, str):
        raise TypeError(f'out_indices must be like (3,), got {indices!r}')
    if not indices or not all(
        is_count(i, -num_stages, num_stages - 1) for i in indices
    ):
        raise ValueError(
            f'out_indices must hold stages from {-num_stages} to '
            f'{num_stages - 1}, got {indices!r}'
        )
    result = tuple(i % num_stages for i in indices)
    if len(set(result)) != len(result):
        raise ValueError(f'out_indices names a stage twice: {indices!r}')
    return result


def check_strides(
    stem_strides: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    num_stages: int,
) -> None:
    """Refuse strides and dilations that stem and stages cannot have."""
    twos = [*stem_strides].count(2)
    if len(stem_strides) != 3 or {*stem_strides} != {1, 2} or twos > 2:
        raise ValueError(
            'stem_strides must be 3 values of 1 or 2 with a product of 4, or '
            'of 2 as in the paper, whose first stage starts with a max pool; '
            f'got {stem_strides!r}'
        )
    if (
        len(strides) != num_stages
        or any(s not in (1, 2) for s in strides)
        or (strides[0] == 2 and twos == 2)
    ):
        raise ValueError(
            f'strides must be {num_stages} values of 1 or 2, one per stage, '
            'and the first of them 1 where the stem has a stride of 4; got '
            f'{strides!r}'
        )
    if len(dilations) != num_stages or not all(map(is_count, dilations)):
        raise ValueError(
            f'dilations must be {num_stages} positive integers, one per '
            f'stage, got {dilations!r}'
        )


def check_numbers(
    arch: dict[str, Any],
    in_channels: int,
    frozen_stages: int,
    pool_padding: int,
    drop_path_rate: float,
) -> None:
    """Refuse numbers that are out of range."""
    num_stages = len(arch['num_modules'])
    if not is_count(in_channels):
        raise ValueError(
            f'in_channels must be a positive integer, got {in_channels!r}'
        )
    if not is_count(frozen_stages, -1, num_stages):
        raise ValueError(
            f'frozen_stages must be from -1 (none) to {num_stages} (stem '
            f'and all stages), got {frozen_stages!r}'
        )
    if not is_count(pool_padding, 0, 1):
        raise ValueError(f'pool_padding must be 0 or 1, got {pool_padding!r}')
    if not 0 <= drop_path_rate < 1:
        raise ValueError(
            f'drop_path_rate must be in [0, 1), got {drop_path_rate!r}'
        )
    if drop_path_rate and not arch['identity']:
        raise ValueError(
            f'drop_path_rate={drop_path_rate} needs identity=True: '
            'without the identity add it would drop the features'
        )


def check_layers(
    arch: dict[str, Any],
    bottleneck: bool,
    dcn: dict | None,
    stage_with_dcn: Sequence[bool],
) -> None:
    """Refuse layers that exclude each other, or that are not there."""
    if arch['gate'] not in GATES:
        raise ValueError(
            f'gate must be one of {list(GATES)}, got {arch["gate"]!r}'
        )
    if arch['depthwise'] and (bottleneck or dcn):
        option = 'bottleneck' if bottleneck else 'dcn'
        raise ValueError(
            f'{option} replaces dense 3x3 convs, and this arch is depthwise; '
            'leave one of them out'
        )
    if not dcn:
        return
    num_stages = len(arch['num_modules'])
    if len(stage_with_dcn) != num_stages:
        raise ValueError(
            f'stage_with_dcn needs {num_stages} values, one per stage, got '
            f'{stage_with_dcn!r}'
        )
    try:
        import mmcv.ops  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'dcn={dcn!r} needs mmcv with its ops, and this mmcv has none '
            '(python tools/install_mmcv.py builds them)'
        ) from error


def check_groups(model: nn.Module) -> None:
    """Refuse deformable convs with which mmcv's ops leave their memory.

    Raises:
        ValueError: If groups do not divide the channels of such a conv.
    """
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
            if not is_count(value) or any(n % value for n in channels):
                raise ValueError(
                    f"{option}={value!r} of '{name}', a "
                    f'{type(module).__name__}, must be a positive integer '
                    'and, of groups, divide its channels'
                )
