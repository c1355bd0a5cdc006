"""What a swap costs."""

from contextlib import suppress

from mmengine.config import Config

from mmvovnet.analysis.cost import count_cost
from mmvovnet.tasks import get

from . import toy
from .changes import one_line
from .plan import Swap


@toy.silence()
def counts(swap: Swap, original: Config) -> str:
    """Write how the step went, and what the model costs before and after."""
    lines = ['no step was taken: see above']
    if swap.step:
        lines = [f'one step: loss {swap.step.loss:.3f}']
        if idle := swap.step.idle:
            lines.append(
                f'without a gradient: {len(idle)} parameters, such as '
                f'{idle[0]}'
            )
    for name, cfg in (('before', original), ('now', swap.cfg)):
        try:
            model = toy.build(cfg)
        except Exception as error:
            lines.append(f'{name}: not built, {one_line(error)}')
            continue
        weights = sum(p.numel() for p in model.parameters()) / 1e6
        line = f'{name}: {weights:.2f} M parameters'
        with suppress(AttributeError):  # BiSeNet gives it another name
            backbone = model.get_submodule('.'.join(map(str, swap.place[1:])))
            channels = get(cfg, swap.place).get('in_channels', 3)
            cost = count_cost(backbone, (channels, 224, 224))
            line += f'; the backbone {cost.parameters / 1e6:.2f} M and '
            line += f'{cost.macs / 1e9:.2f} GMACs at 224x224'
        lines.append(line)
    return '\n'.join(lines)
