"""Checks of VoVNet's options, before anything is built."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from .layers import mmcv_ops

if TYPE_CHECKING:
    from .vovnet import VoVNet


def require(holds: Any, option: str, expected: str, value: Any) -> None:
    """Refuse an option's value unless a condition holds."""
    if not holds:
        raise ValueError(f'{option} must be {expected}, got {value!r}')


def check_flag(name: str, value: Any) -> None:
    """Refuse what is not True or False: 'no' from a command line is true."""
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


def check_options(model: 'VoVNet') -> None:
    """Refuse what is out of range, and layers that exclude each other."""

    def need(option: str, fits: Callable, expected: str) -> None:
        value = getattr(model, option)
        try:
            holds = fits(value)
        except TypeError:  # a number in place of several, among others
            holds = False
        require(holds, option, expected, value)

    for flag in ('bottleneck', 'norm_eval', 'with_cp', 'memory_efficient'):
        check_flag(flag, getattr(model, flag))
    arch = model.arch
    stages = len(arch['num_modules'])
    need('in_channels', is_count, 'a positive integer')
    need(
        'frozen_stages',
        lambda n: is_count(n, -1, stages),
        f'from -1 (none) to {stages} (stem and all stages)',
    )
    need(
        'stem_strides',
        lambda values: len(values) == 3 and {*values} == {1, 2},
        '3 values of 1 or 2 with a product of 4, or of 2 as in the paper, '
        'whose first stage starts with a max pool',
    )
    need(
        'strides',
        lambda values: (
            len(values) == stages
            and {*values} <= {1, 2}
            and (values[0] == 1 or model.pooled)
        ),
        f'{stages} values of 1 or 2, one per stage, and the first of them 1 '
        'where the stem has a stride of 4',
    )
    need(
        'dilations',
        lambda values: len(values) == stages and all(map(is_count, values)),
        f'{stages} positive integers, one per stage',
    )
    need('pool_padding', lambda n: is_count(n, 0, 1), '0 or 1')
    need('drop_path_rate', lambda rate: 0 <= rate < 1, 'in [0, 1)')
    need(
        'drop_path_rate',
        lambda rate: arch['identity'] or not rate,
        '0 where modules lack identity=True, as it would drop the features',
    )
    for option in ('bottleneck', 'dcn'):
        if arch['depthwise'] and getattr(model, option):
            raise ValueError(
                f'{option} replaces dense 3x3 convs, and this arch is '
                'depthwise; leave one of them out'
            )
    if not model.dcn:
        return
    need(
        'stage_with_dcn',
        lambda values: len(values) == stages,
        f'{stages} values, one per stage',
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
    for name, module in mmcv_ops(model):
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
