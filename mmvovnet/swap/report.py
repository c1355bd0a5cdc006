"""What a swap tells its user."""

from typing import Any

from mmengine.config import Config

from mmvovnet.analysis.cost import count_cost
from mmvovnet.analysis.summary import markdown_table

from . import toy
from .changes import ABSENT, dotted, get
from .plan import Swap
from .write import shown


def report(swap: Swap) -> str:
    """Write what a swap changed as a table, and what it left alone.

    Args:
        swap (Swap): The swap.

    Returns:
        str: Lines for a terminal.
    """
    rows = []
    for change in swap.changes:
        path = dotted(change.path)
        if change.path != swap.place:
            rows.append((path, change.old, change.new, change.why))
            continue
        for key in dict.fromkeys([*change.old, *change.new]):
            old = change.old.get(key, ABSENT)
            new = change.new.get(key, ABSENT)
            if old != new:
                why = swap.remarks.get(key, '')
                rows.append((f'{path}.{key}', old, new, why))
    table = markdown_table(
        [
            dict(entry=path, before=_cell(old), now=_cell(new), why=why)
            for path, old, new, why in rows
        ]
    )
    left = [f'left alone: {line}' for line in swap.left]
    return '\n'.join([table, *left])


def _cell(value: object) -> str:
    return '-' if value is ABSENT else shown(value)


@toy.silence()
def counts(swap: Swap, original: Config) -> str:
    """Say how the step went, and what the model costs before and after.

    Args:
        swap (Swap): A swap with a step.
        original (Config): The config before it.

    Returns:
        str: Lines for a terminal.
    """
    lines = []
    if swap.step:
        lines.append(f'one step: loss {swap.step.loss:.3f}')
        if idle := swap.step.idle:
            lines.append(
                f'without a gradient: {len(idle)} parameters, such as '
                f'{idle[0]}'
            )
    else:
        lines.append('no step was taken: see above')
    for name, cfg in (('before', original), ('now', swap.cfg)):
        try:
            model = toy.build(cfg)
        except Exception as error:
            lines.append(f'{name}: not built, {error}')
            continue
        backbone: Any = model
        for part in swap.place[1:]:
            backbone = getattr(backbone, str(part), ABSENT)
        weights = sum(p.numel() for p in model.parameters()) / 1e6
        line = f'{name}: {weights:.2f} M parameters'
        if backbone is not ABSENT:
            channels = get(cfg, swap.place).get('in_channels', 3)
            cost = count_cost(backbone, (channels, 224, 224))
            line += f'; the backbone {cost.parameters / 1e6:.2f} M and '
            line += f'{cost.macs / 1e9:.2f} GMACs at 224x224'
        lines.append(line)
    return '\n'.join(lines)
