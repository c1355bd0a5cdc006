"""Fewer and wider layers, section 3.2 of arXiv 1904.09730."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from benchmark import Setting
from benchmark.summary import mean_and_deviation
from matplotlib.figure import Figure

from mmvovnet.analysis.cost import count_cost

from .measured import SEEDS, draw_seeds
from .networks import CifarNet
from .published import CIFAR_10
from .report import Finding, Result
from .training import (
    SEVERAL_LOOKS,
    Run,
    at_most,
    confidence,
    difference,
    train,
)

# By the name of the config: what the network is called, and the arguments of
# CifarNet.
NETWORKS = {
    'densenet40': ('DenseNet-40', ('dense', 12, 12)),
    'osa12x20': ('OSA 12x20', ('osa', 12, 20)),
    'osa5x43': ('OSA 5x43', ('osa', 5, 43)),
}
DATA = {'digits': 16, 'cifar10': 32}
NOT_CIFAR = (
    'This is not CIFAR-10, which no dependency ships, but the 1,797 digits of '
    'scikit-learn, at 16x16 pixels with random shifts: 1,437 of them train '
    'and 360, written by others, test. They are easier, and 360 images '
    'resolve a difference of about one point. What would be needed: CIFAR-10 '
    'and a GPU, where `--options data=cifar10` follows the recipe of '
    'DenseNet for 300 epochs.'
)


def trained(
    out_dir: Path, data: str, seeds: int, epochs: int | None
) -> dict[str, list[Run]]:
    """Train the three networks, each with every seed, unless it is done.

    Args:
        out_dir (Path): The trainings go to its folder ``trained``.
        data (str): A key of :data:`DATA`.
        seeds (int): Number of seeds.
        epochs (int, optional): Epochs; None for the recipe's own.

    Raises:
        ValueError: If the data is unknown, or one seed is to have a spread.
    """
    if data not in DATA:
        raise ValueError(f'data must be one of {list(DATA)}, got {data!r}')
    if seeds < 2:
        raise ValueError(f'a spread needs at least 2 seeds, got {seeds!r}')
    runs: dict[str, list[Run]] = {name: [] for name in NETWORKS}
    for seed, name in product(range(seeds), NETWORKS):
        run = train(f'{name}_{data}', seed, out_dir / 'trained', epochs)
        runs[name].append(run)
    return runs


def memory_access(name: str) -> float:
    """Eq. 1 of the blocks and transitions at 32x32 pixels, in millions.

    The paper's count, without the first conv and the classifier.

    Example:
        >>> round(memory_access('densenet40'), 2)
        3.66
    """
    model = CifarNet(*NETWORKS[name][1]).to('meta')
    return count_cost(model.stages, (16, 32, 32)).memory_access / 1e6


def check(
    out_dir: Path,
    data: str = 'digits',
    seeds: int = 5,
    epochs: int | None = None,
    looks: int = 1,
) -> Result:
    """Train DenseNet-40 and both networks of One-Shot Aggregation.

    Args:
        out_dir (Path): Folder for the trainings.
        data (str): 'digits' or 'cifar10'. Defaults to 'digits'.
        seeds (int): Seeds, from 0. Defaults to 5.
        epochs (int, optional): Epochs. Defaults to None, the configs' own.
        looks (int): Times that results were looked at, seeds being added in
            between. Defaults to 1.
    """
    runs = trained(out_dir, data, seeds, epochs)
    errors = {name: [r.error for r in found] for name, found in runs.items()}
    rows, details = [], []
    for name, (label, arguments) in NETWORKS.items():
        error, cost = CIFAR_10[name]
        model = CifarNet(*arguments).to('meta')
        count = count_cost(model, (3, 32, 32))
        rows.append(
            {
                'network': label,
                'parameters M': round(count.parameters / 1e6, 2),
                'GMACs at 32': round(count.macs / 1e9, 3),
                'Eq. 1 M, paper': cost or '-',
                'Eq. 1 M, here': round(memory_access(name), 2),
                'CIFAR-10 error %, paper': error,
                f'{data} error %, here': mean_and_deviation(errors[name]),
            }
        )
        details += [
            {'network': label, 'seed': seed, 'error %': round(run.error, 3)}
            | {f'loss {i + 1}': round(x, 4) for i, x in enumerate(run.losses)}
            for seed, run in enumerate(runs[name])
        ]
    return Result(
        f'Fewer, wider layers, on {data}',
        _findings(errors, looks),
        rows,
        lambda figure: _draw(figure, data, errors, runs),
        Setting(batch=64, size=DATA[data]),
        range(seeds),
        [
            'Errors are the mean ± standard deviation over the seeds, Eq. 1 '
            'is counted over blocks and transitions. The paper leaves the '
            "OSA networks' transitions open: here they keep all channels."
        ]
        + [SEVERAL_LOOKS] * (looks > 1)
        + [NOT_CIFAR] * (data == 'digits'),
        details,
    )


def _findings(errors: dict[str, list[float]], looks: int) -> list[Finding]:
    findings = []
    for name in ('densenet40', 'osa5x43'):
        (label, _), (_, paper) = NETWORKS[name], CIFAR_10[name]
        here = memory_access(name)
        findings.append(
            Finding(
                f'Eq. 1 of {label}, within 5 %',
                f'{paper} M',
                f'{here:.2f} M',
                abs(here / paper - 1) < 0.05,
            )
        )
    for left, right, text, limit in (
        ('densenet40', 'osa12x20', 'fewer errors than', 0),
        ('osa5x43', 'osa12x20', 'fewer errors than', 0),
        ('osa5x43', 'densenet40', 'at most a point more errors than', 1),
    ):
        low, high = difference(errors[left], errors[right], looks)
        paper = CIFAR_10[left][0] - CIFAR_10[right][0]
        findings.append(
            Finding(
                f'{NETWORKS[left][0]} makes {text} {NETWORKS[right][0]}',
                f'{paper:+.1f} points of error',
                f'{low:+.1f} to {high:+.1f} points of error '
                f'({100 * confidence(looks):g} %)',
                at_most(low, high, limit),
            )
        )
    return findings


def _draw(
    figure: Figure,
    data: str,
    errors: dict[str, Sequence[float]],
    runs: dict[str, list[Run]],
) -> None:
    cost, error, loss = figure.subplots(1, 3)
    names = [network[0] for network in NETWORKS.values()]
    colours = ['tab:gray', 'tab:orange', 'tab:blue']
    bars = cost.bar(names, [memory_access(n) for n in NETWORKS], color=colours)
    cost.bar_label(bars, fmt='{:.2f} M')
    cost.set(title='memory access (Eq. 1)', ylabel='values, M')
    for i, (name, colour) in enumerate(zip(NETWORKS, colours, strict=True)):
        draw_seeds(error, i, errors[name], color=colour)
        if data == 'cifar10':
            error.plot(i + 0.3, CIFAR_10[name][0], 'kx')
        losses = np.array([run.losses for run in runs[name]])
        steps = np.arange(1, losses.shape[1] + 1)
        loss.plot(steps, losses.mean(0), color=colour, label=names[i])
        loss.fill_between(
            steps, losses.min(0), losses.max(0), color=colour, alpha=0.2
        )
    error.set_xticks(range(len(names)), names)
    error.set(xlim=(-0.5, 2.5), ylim=(0, None), ylabel='error, %')
    crosses = ', a cross for the paper' * (data == 'cifar10')
    error.set_title(f'{data}: {SEEDS}{crosses}', fontsize=10)
    loss.set(yscale='log', xlabel='epoch', ylabel='training loss')
    loss.set_title('mean and range of the seeds', fontsize=10)
    loss.legend()
