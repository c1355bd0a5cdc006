"""Tables 2 and 4 of arXiv 1904.09730: multiply-adds a second, and memory."""

from typing import Any

from benchmark import Measurement, Setting
from benchmark.summary import Quartiles, over
from matplotlib.figure import Figure

from .measured import (
    DEVICE,
    NOTE,
    above_one,
    draw_ratios,
    inference,
    rates,
)
from .published import PAIRS, PUBLISHED, label
from .report import Finding, Result

ROWS = (
    'mmpretrain:MobileNetV2',
    'mmpretrain:ShuffleNetV2',
    'mmvovnet:PeleeNet',
    'mmvovnet:DSODDenseNet',
    'V-27-slim',
    'mmpretrain:ResNet-50',
    'torchvision:densenet201',
    'V-39',
    'mmpretrain:ResNet-101',
    'torchvision:densenet161',
    'V-57',
)
NOTES = (
    'Here: backbones alone, random images. The paper: detectors (Pelee304, '
    'DSOD300, RefineDet320) on a TITAN X (Pascal), so that its multiply-adds, '
    'parameters and memory include the heads. GMAC/s is its GFLOP/s: it '
    'counts a multiply-add as one FLOP.',
    NOTE,
)


def check(
    size: int = 320,
    batch: int = 1,
    rounds: int = 15,
    device: str = DEVICE,
    precision: str = 'fp32',
) -> Result:
    """Measure the networks of Tables 2 and 4 side by side.

    Args:
        size (int): Height and width of the images. Defaults to 320.
        batch (int): Images per batch. Defaults to 1.
        rounds (int): Times that each network is timed. Defaults to 15.
        device (str): Device. Defaults to 'cuda' where there is one.
        precision (str): 'fp32', 'amp' or 'bf16'. Defaults to 'fp32'.
    """
    setting = Setting(batch, size, device, precision)
    results = inference(ROWS, setting, rounds)
    return Result(
        f'Computation efficiency, {size}x{size}, batch {batch}',
        [part for pair in PAIRS for part in _findings(*pair, results)],
        [_columns(result) for result in results.values()],
        lambda figure: _draw(figure, results),
        setting,
        seeds=[0],
        notes=NOTES,
    )


def _findings(
    ours: str, peer: str, results: dict[str, Measurement]
) -> list[Finding]:
    mine, other = results[ours], results[peer]
    paper, theirs = PUBLISHED[ours], PUBLISHED[peer]
    rate = over(rates(mine), rates(other))
    speed = over(other.forward_ms, mine.forward_ms)
    names = f'{label(ours)} over {label(peer)}'
    memory = mine.saved_mb / other.saved_mb
    return [
        Finding(
            f'more GMAC/s, {names}',
            f'{paper.rate / theirs.rate:.2f}',
            str(rate),
            above_one(rate),
        ),
        Finding(
            f'more images/s, {names}',
            f'{paper.fps / theirs.fps:.2f}',
            str(speed),
            above_one(speed),
        ),
        Finding(
            f'less memory, {names}',
            f'{paper.memory / theirs.memory:.2f}',
            f'{memory:.2f}',
            memory < 1,
        ),
    ]


def _columns(result: Measurement) -> dict[str, Any]:
    paper = PUBLISHED.get(result.row)
    columns = result.columns()
    here = {
        'GMACs': (columns['GMACs'], paper and paper.gmacs),
        'ms': (columns['forward ms'], paper and round(1e3 / paper.fps, 1)),
        'images/s': (columns['images/s'], paper and paper.fps),
        'params M': (columns['params M'], paper and paper.parameters),
        'MB': (columns['saved MB'], paper and paper.memory),
        'J/image': (columns['J/image'], paper and paper.joules),
        'GMAC/s': (columns['GMAC/s'], paper and paper.rate),
    }
    row = {'backbone': label(result.row)}
    for name, (ours, published) in here.items():
        row[name] = ours
        row[f'{name}, paper'] = '-' if published is None else published
    return row


def _draw(figure: Figure, results: dict[str, Measurement]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    quartiles = {row: Quartiles.of(rates(r)) for row, r in results.items()}
    order = sorted(quartiles, key=lambda row: quartiles[row].median)
    left.barh(
        [label(row) for row in order],
        [quartiles[row].median for row in order],
        xerr=[quartiles[row].half for row in order],
        color=['C0' if ':' in row else 'C1' for row in order],
    )
    left.set(xlabel='GMAC/s', title='Multiply-adds a second, here')
    draw_ratios(
        right,
        [f'{label(a)} over\n{label(b)}' for a, b in PAIRS],
        [PUBLISHED[a].rate / PUBLISHED[b].rate for a, b in PAIRS],
        [over(rates(results[a]), rates(results[b])) for a, b in PAIRS],
    )
    right.set_title('Ratio of multiply-adds a second')
