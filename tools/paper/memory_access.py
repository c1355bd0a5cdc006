"""Eq. 1 of arXiv 1904.09730: values read and written, and the bound."""

from collections import defaultdict
from dataclasses import dataclass
from math import sqrt

from benchmark import Setting, build_row
from matplotlib.figure import Figure
from torch import Tensor, nn

from mmvovnet.analysis.cost import count_cost

from .published import label
from .report import Finding, Result

ROWS = (
    'torchvision:densenet121',
    'torchvision:densenet201',
    'mmpretrain:ResNet-50',
    'V-27-slim',
    'V-39',
    'V-57',
)
OURS = 'V-39'
NOTE = (
    'Values read and written by the convs for one image, in millions, by the '
    'stride of their output; counted, not measured. The CSV has every layer.'
)


@dataclass
class Layer:
    """A conv and its cost for one image.

    Attributes:
        name (str): Name of the module.
        kernel (int): Kernel size k.
        stride (int): Stride of the output, against the image.
        in_channels (int): Input channels ci.
        out_channels (int): Output channels co.
        macs (int): Multiply-accumulates.
        cost (int): Eq. 1, values read and written: hw(ci + co) + k^2 ci co.
        bound (float): Its lower bound for these multiply-accumulates,
            2 sqrt(hwB / k^2) + B / hw with B = k^2 hw ci co. A strided conv
            reads hw and writes h'w' positions, and hw is their geometric
            mean in the first term.
    """

    name: str
    kernel: int
    stride: int
    in_channels: int
    out_channels: int
    macs: int
    cost: int
    bound: float


def layers(model: nn.Module, size: int) -> list[Layer]:
    """Count the cost of every conv.

    Args:
        model (nn.Module): The model.
        size (int): Height and width of the image.

    Returns:
        list[Layer]: In the order in which they run.

    Example:
        >>> conv = nn.Conv2d(3, 12, 3, padding=1)
        >>> (layer,) = layers(nn.Sequential(conv), 10)
        >>> layer.cost, layer.bound
        (1824, 1524.0)
    """
    shapes = {}

    def note(module: nn.Module, inputs: tuple, out: Tensor) -> None:
        shapes[module] = inputs[0].shape[1:], out.shape[1:]

    names = {
        module: name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    }
    handles = [conv.register_forward_hook(note) for conv in names]
    count_cost(model, (3, size, size))
    for handle in handles:
        handle.remove()
    found = []
    for conv, (inside, outside) in shapes.items():
        cost = count_cost(conv, tuple(inside))
        found.append(
            Layer(
                names[conv],
                conv.kernel_size[0],
                round(size / outside[1]),
                inside[0],
                outside[0],
                cost.macs,
                cost.memory_access,
                2 * sqrt(inside.numel() * outside.numel())
                + conv.weight.numel(),
            )
        )
    return found


def per_stage(found: list[Layer]) -> dict[int, tuple[float, float]]:
    """Sum cost and bound of the layers of each output stride."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0, 0])
    for layer in found:
        sums[layer.stride][0] += layer.cost
        sums[layer.stride][1] += layer.bound
    return {stride: tuple(values) for stride, values in sorted(sums.items())}


def check(size: int = 224) -> Result:
    """Compare the layers' memory access cost with its bound.

    Args:
        size (int): Height and width of the image. Defaults to 224.
    """
    counted = {row: layers(build_row(row).to('meta'), size) for row in ROWS}
    totals = {row: _Total(found) for row, found in counted.items()}
    ours = totals[OURS]

    findings = []
    for row, total in totals.items():
        if ':' in row:
            findings += [
                Finding(
                    f'{OURS} is nearer to its bound than {label(row)}',
                    'lower',
                    f'{ours.excess:.1%} above it, against {total.excess:.1%}',
                    ours.excess < total.excess,
                ),
                Finding(
                    f'{OURS} reads and writes less per multiply-add than '
                    f'{label(row)}',
                    'lower',
                    f'{ours.intensity:.2f} values per thousand, against '
                    f'{total.intensity:.2f}',
                    ours.intensity < total.intensity,
                ),
            ]
    chain = [
        x for x in counted[OURS] if x.kernel == 3 and '.blocks.' in x.name
    ]
    least = sum(layer.cost == layer.bound for layer in chain)
    findings.append(
        Finding(
            f'most 3x3 convs in the modules of {OURS} are at their bound',
            'at the bound',
            f'{least} of {len(chain)} are',
            least > len(chain) / 2,
        )
    )
    rows = [
        {
            'network': label(row),
            'stride': stride,
            'cost M': f'{cost / 1e6:.2f}',
            'bound M': f'{bound / 1e6:.2f}',
            'above': f'{cost / bound - 1:.1%}',
        }
        for row, found in counted.items()
        for stride, (cost, bound) in [
            *per_stage(found).items(),
            ('all', (totals[row].cost, totals[row].bound)),
        ]
    ]
    details = [
        {'network': label(row)}
        | vars(layer)
        | {'above': round(layer.cost / layer.bound - 1, 4)}
        for row, found in counted.items()
        for layer in found
    ]
    return Result(
        f'Memory access cost, {size}x{size}',
        findings,
        rows,
        lambda figure: _draw(figure, counted),
        Setting(batch=1, size=size),
        notes=[NOTE],
        details=details,
    )


class _Total:
    def __init__(self, found: list[Layer]) -> None:
        self.cost = sum(layer.cost for layer in found)
        self.bound = sum(layer.bound for layer in found)
        self.excess = self.cost / self.bound - 1
        macs = sum(layer.macs for layer in found)
        self.intensity = self.cost / macs * 1e3


def _draw(figure: Figure, counted: dict[str, list[Layer]]) -> None:
    grid = figure.subplots(
        2, len(counted) // 2, sharey=True, sharex=True, squeeze=False
    )
    for axes, (row, found) in zip(grid.flat, counted.items(), strict=True):
        stages = per_stage(found)
        places = range(len(stages))
        costs, bounds = (
            [value / 1e6 for value in values]
            for values in zip(*stages.values(), strict=True)
        )
        axes.bar(
            [x - 0.2 for x in places], costs, 0.4, label='Eq. 1', color='C0'
        )
        axes.bar(
            [x + 0.2 for x in places], bounds, 0.4, label='bound', color='C1'
        )
        for x, cost, bound in zip(places, costs, bounds, strict=True):
            axes.text(
                x, cost, f'+{cost / bound - 1:.0%}', ha='center', va='bottom'
            )
        axes.set_xticks(places, [str(stride) for stride in stages])
        axes.set_title(f'{label(row)}: {sum(costs):.1f} M')
        axes.margins(y=0.12)
    grid[0, 0].legend()
    for axes in grid[-1]:
        axes.set_xlabel('output stride')
    for axes in grid[:, 0]:
        axes.set_ylabel('values read and written, M')
    figure.suptitle('Memory access cost of convs, and its bound')
