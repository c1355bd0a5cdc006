"""Table 3 of arXiv 1904.09730: 1x1 convs in front of an OSA module's 3x3."""

from benchmark import Setting
from benchmark.summary import Quartiles, over
from matplotlib.figure import Figure

from .measured import (
    DEVICE,
    NOTE,
    above_one,
    below_one,
    draw_ratios,
    inference,
    rates,
)
from .published import PUBLISHED, label
from .report import Finding, Result

PLAIN = 'V-27-slim'
NARROW = 'V-27-slim+bottleneck'
CLAIMED = {
    'multiply-adds': 'fewer',
    'parameters': 'fewer',
    'memory': 'more',
    'time': 'more',
    'GMAC/s': 'fewer',
}
NOTES = (
    'Here: the backbone alone, random images. The paper: DSOD300 with it on a '
    'TITAN X (Pascal), so that its figures include the heads.',
    NOTE,
)


def check(
    size: int = 300,
    batch: int = 1,
    rounds: int = 25,
    device: str = DEVICE,
    precision: str = 'fp32',
) -> Result:
    """Measure V-27-slim with and without the bottleneck.

    Args:
        size (int): Height and width of the images. Defaults to 300.
        batch (int): Images per batch. Defaults to 1.
        rounds (int): Times that each is timed. Defaults to 25.
        device (str): Device. Defaults to 'cuda' where there is one.
        precision (str): 'fp32', 'amp' or 'bf16'. Defaults to 'fp32'.
    """
    setting = Setting(batch, size, device, precision)
    results = inference([PLAIN, NARROW], setting, rounds)
    plain, narrow = results.values()
    before, after = PUBLISHED[PLAIN], PUBLISHED[NARROW]
    paper = {
        'multiply-adds': after.gmacs / before.gmacs,
        'parameters': after.parameters / before.parameters,
        'memory': after.memory / before.memory,
        'time': round(1e3 / after.fps) / round(1e3 / before.fps),
    }
    paper['GMAC/s'] = paper['multiply-adds'] / paper['time']
    here = {
        'multiply-adds': over([narrow.cost.macs], [plain.cost.macs]),
        'parameters': over([narrow.cost.parameters], [plain.cost.parameters]),
        'memory': over([narrow.saved_mb], [plain.saved_mb]),
        'time': over(narrow.forward_ms, plain.forward_ms),
        'GMAC/s': over(rates(narrow), rates(plain)),
    }
    findings = [
        Finding(
            f'{more_or_less} {name} with 1x1 convs',
            f'{paper[name]:.2f}',
            str(here[name]),
            (above_one if more_or_less == 'more' else below_one)(here[name]),
        )
        for name, more_or_less in CLAIMED.items()
    ]
    rows = []
    for row, result in results.items():
        columns = result.columns()
        published = PUBLISHED[row]
        rows.append(
            {
                'backbone': label(row),
                'GMACs': columns['GMACs'],
                'GMACs, paper': published.gmacs,
                'ms': columns['forward ms'],
                'ms, paper': round(1e3 / published.fps),
                'params M': columns['params M'],
                'params M, paper': published.parameters,
                'MB': columns['saved MB'],
                'MB, paper': published.memory,
            }
        )
    return Result(
        f'1x1 convs in OSA modules, {size}x{size}, batch {batch}',
        findings,
        rows,
        lambda figure: _draw(figure, paper, here),
        setting,
        seeds=[0],
        notes=NOTES,
    )


def _draw(
    figure: Figure, paper: dict[str, float], here: dict[str, Quartiles]
) -> None:
    axes = figure.subplots()
    draw_ratios(axes, [*paper], [*paper.values()], [*here.values()])
    axes.set_title(
        'V-27-slim with a 1x1 conv before each 3x3, over that without'
    )
