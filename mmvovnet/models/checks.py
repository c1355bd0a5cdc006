"""Checks of VoVNet's options, before anything is built."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from torch import nn

from .layers import GATES

# V-99 has 70 million weights in 115 convs.
MAX_WEIGHTS = 2 * 10**9
MAX_CONVS = 10_000


def check_flags(**flags: Any) -> None:
    """Refuse what is not True or False.

    'no' from a command line is a string, and true.

    Raises:
        TypeError: If a value is no bool.

    Example:
        >>> check_flags(with_cp=True)
        >>> check_flags(with_cp='no')
        Traceback (most recent call last):
        TypeError: with_cp must be True or False, got 'no'
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f'{name} must be True or False, got {value!r}')


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse unknown names, and suggest the nearest known one.

    Args:
        given (Iterable[str]): Of options, as a config spells them.
        known (Iterable[str]): All that there are.

    Raises:
        TypeError: If one is unknown.

    Example:
        >>> check_names(['out_indicies'], ['arch', 'out_indices'])
        Traceback (most recent call last):
        TypeError: there is no option 'out_indicies': is 'out_indices' meant?
    """
    known = list(known)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise TypeError(
                f'there is no option {name!r}: '
                + (
                    f'is {near[0]!r} meant?'
                    if near
                    else f'choose of {", ".join(known)}'
                )
            )


def check_size(arch: dict[str, Any], in_channels: int) -> None:
    """Refuse a network that is too large for any machine.

    Args:
        arch (dict): A complete row of :data:`mmvovnet.models.archs.ARCHS`.
        in_channels (int): Image channels.

    Raises:
        ValueError: If ``in_channels`` is no positive integer, or the network
            has more than :data:`MAX_WEIGHTS` or :data:`MAX_CONVS`.
    """
    if type(in_channels) is not int or in_channels < 1:
        raise ValueError(
            f'in_channels must be a positive integer, got {in_channels!r}'
        )
    layers = arch['num_layers']
    convs = len(arch['stem_channels']) + (layers + 1) * sum(
        arch['num_modules']
    )
    taps = 1 if arch['depthwise'] else 9  # of a weight from C to C channels
    first, second, channels = arch['stem_channels']
    weights = 9 * in_channels * first
    weights += taps * (first * second + second * channels)
    for conv, out, modules in zip(
        arch['conv_channels'],
        arch['out_channels'],
        arch['num_modules'],
        strict=True,
    ):
        for inputs, count in ((channels, 1), (out, modules - 1)):
            chain = inputs * conv + (layers - 1) * conv**2
            aggregate = (inputs + layers * conv) * out
            weights += count * (taps * chain + aggregate)
        channels = out
    if weights > MAX_WEIGHTS or convs > MAX_CONVS:
        raise ValueError(
            f'this arch has {convs:,} convs and {weights:,} weights, and no '
            f'network of more than {MAX_CONVS:,} or {MAX_WEIGHTS:,} is '
            'built: see num_layers, num_modules, in_channels and the '
            'channels of each stage'
        )


def check_ops(model: nn.Module) -> None:
    """Refuse deformable convs whose groups do not divide their channels.

    mmcv's op then reads outside of its memory.

    Args:
        model (nn.Module): A model, built.

    Raises:
        ValueError: If there is such a conv.
    """
    for name, module in model.named_modules():
        if not type(module).__module__.startswith('mmcv.ops'):
            continue
        channels = dict(
            deform_groups=('in_channels',),
            groups=('in_channels', 'out_channels'),
        )
        for option, divided in channels.items():
            groups = getattr(module, option, 1)
            for width in (getattr(module, key, 0) for key in divided):
                if type(groups) is not int or groups < 1 or width % groups:
                    raise ValueError(
                        f"{option}={groups!r} of '{name}', a "
                        f'{type(module).__name__}, must divide its {width} '
                        'channels'
                    )
        step = getattr(module, 'im2col_step', 1)
        if type(step) is not int or step < 1:
            raise ValueError(
                f"im2col_step={step!r} of '{name}' must be a positive integer"
            )


def check_indices(indices: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Refuse ``out_indices`` that name no stage, or one twice.

    Returns:
        tuple[int]: They counted from 0.
    """
    if not isinstance(indices, Sequence) or isinstance(indices, str):
        raise TypeError(
            f'out_indices must be a sequence of int, got {indices!r}; for one '
            'stage write (3,)'
        )
    if not indices or any(
        type(i) is not int or i not in range(-num_stages, num_stages)
        for i in indices
    ):
        raise ValueError(
            f'out_indices must hold stages from {-num_stages} to '
            f'{num_stages - 1}, got {indices!r}'
        )
    result = tuple(i % num_stages for i in indices)
    if len(set(result)) != len(result):
        raise ValueError(f'out_indices names a stage twice: {indices!r}')
    return result


def check_stem_strides(strides: Sequence[int]) -> int:
    """Refuse strides of the stem that no first stage follows.

    Returns:
        int: Their product, 4 or 2.
    """
    product = 0
    if len(strides) == 3 and all(s in (1, 2) for s in strides):
        product = strides[0] * strides[1] * strides[2]
    if product not in (2, 4):
        raise ValueError(
            'stem_strides must be 3 values of 1 or 2 with a product of 4, or '
            'of 2 as in the paper, whose first stage starts with a max pool; '
            f'got {strides!r}'
        )
    return product


def check_strides(
    strides: Sequence[int],
    dilations: Sequence[int],
    num_stages: int,
    pooled: bool,
) -> None:
    """Refuse strides and dilations that stages cannot have."""
    if (
        len(strides) != num_stages
        or any(s not in (1, 2) for s in strides)
        or (strides[0] == 2 and not pooled)
    ):
        raise ValueError(
            f'strides must be {num_stages} values of 1 or 2, one per stage, '
            'and the first of them 1 where the stem has a stride of 4; got '
            f'{strides!r}'
        )
    if len(dilations) != num_stages or any(
        isinstance(d, bool) or not isinstance(d, int) or d < 1
        for d in dilations
    ):
        raise ValueError(
            f'dilations must be {num_stages} positive integers, one per '
            f'stage, got {dilations!r}'
        )


def check_layers(
    arch: dict[str, Any],
    bottleneck: bool,
    dcn: dict | None,
    stage_with_dcn: Sequence[bool],
    norm_cfg: dict,
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
    num_stages = len(arch['num_modules'])
    if dcn:
        if len(stage_with_dcn) != num_stages:
            raise ValueError(
                f'stage_with_dcn needs {num_stages} values, one per stage, '
                f'got {stage_with_dcn!r}'
            )
        try:
            import mmcv.ops  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'dcn={dcn!r} needs mmcv with its ops, and this mmcv has none '
                '(python tools/install_mmcv.py builds them)'
            ) from error
    if norm_cfg['type'] == 'GN':
        groups = norm_cfg.get('num_groups')
        widths = {
            *arch['stem_channels'],
            *arch['conv_channels'],
            *arch['out_channels'],
        }
        uneven = sorted(w for w in widths if not groups or w % groups)
        if uneven:
            raise ValueError(
                f'norm_cfg={norm_cfg!r}: num_groups must divide the channels '
                f'{uneven}; {math.gcd(*widths)} divides all of them'
            )
