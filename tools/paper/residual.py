"""From VoVNet to VoVNetV2: Table 4 of CenterMask, arXiv 1911.06667."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import Setting
from benchmark.summary import mean_and_deviation
from matplotlib.figure import Figure

from .measured import SEEDS, draw_seeds
from .published import CENTERMASK_TABLE_4 as TABLE
from .report import Finding, Result
from .training import (
    SEVERAL_LOOKS,
    Run,
    at_most,
    confidence,
    difference,
    train,
)

# Options of VoVNet by the table's names.
VARIANTS: dict[str, dict[str, Any]] = {
    'V1': dict(identity=False),
    '+ residual': {},
    '+ residual + eSE': dict(gate='eSE'),
}
CONFIGS = {arch: f'vovnet{arch[2:]}-narrow_digits' for arch in TABLE}

Errors = dict[str, dict[str, list[float]]]


def check(
    out_dir: Path,
    seeds: int = 5,
    epochs: int | None = None,
    looks: int = 1,
) -> Result:
    """Train V-39 and V-99, narrowed, with and without what V2 adds.

    Args:
        out_dir (Path): Folder for the trainings.
        seeds (int): Seeds, from 0. Defaults to 5.
        epochs (int, optional): Epochs. Defaults to None, the configs' own.
        looks (int): Times that results were looked at, seeds being added in
            between. Defaults to 1.

    Raises:
        ValueError: If one seed is to have a spread.
    """
    if seeds < 2:
        raise ValueError(f'a spread needs at least 2 seeds, got {seeds!r}')
    runs: dict[str, dict[str, list[Run]]] = {
        arch: {variant: [] for variant in VARIANTS} for arch in CONFIGS
    }
    for seed, arch, variant in product(range(seeds), CONFIGS, VARIANTS):
        run = train(
            CONFIGS[arch],
            seed,
            out_dir / 'trained',
            epochs,
            **VARIANTS[variant],
        )
        runs[arch][variant].append(run)
    errors = {
        arch: {v: [r.error for r in found] for v, found in variants.items()}
        for arch, variants in runs.items()
    }
    rows = [
        {
            'network': arch,
            'variant': variant,
            'box AP on COCO, paper': TABLE[arch][i],
            'error %, here': mean_and_deviation(errors[arch][variant], 1),
            'final training loss, here': mean_and_deviation(
                [run.losses[-1] for run in runs[arch][variant]]
            ),
        }
        for arch in CONFIGS
        for i, variant in enumerate(VARIANTS)
    ]
    details = [
        {'network': arch, 'variant': variant, 'seed': seed}
        | {'error %': round(run.error, 3)}
        | {f'loss {i + 1}': round(x, 4) for i, x in enumerate(run.losses)}
        for arch, variants in runs.items()
        for variant, found in variants.items()
        for seed, run in enumerate(found)
    ]
    return Result(
        'Residual and eSE, from V1 to V2',
        _findings(errors, looks),
        rows,
        lambda figure: _draw(figure, runs),
        Setting(batch=64, size=32),
        range(seeds),
        [
            'Errors are the mean ± standard deviation over the seeds. Both '
            'networks have all their layers, an eighth of their width, and '
            'classify the digits of scikit-learn at 32x32 pixels: 1,437 '
            'train, 360 test. The paper trains CenterMask on COCO from '
            'weights of ImageNet, which takes a GPU for days; what is tested '
            'here is whether depth hurts and what helps, not by how much '
            'on COCO.'
        ]
        + [SEVERAL_LOOKS] * (looks > 1),
        details,
    )


def _findings(errors: Errors, looks: int) -> list[Finding]:
    findings = []
    for arch, old, new, needs in (
        ('V-99', 'V1', '+ residual', 'the residual helps'),
        ('V-39', 'V1', '+ residual', 'the residual helps'),
        ('V-99', '+ residual', '+ residual + eSE', 'eSE helps'),
        ('V-39', '+ residual', '+ residual + eSE', 'eSE helps'),
    ):
        ap = dict(zip(VARIANTS, TABLE[arch], strict=True))
        low, high = difference(errors[arch][new], errors[arch][old], looks)
        findings.append(
            Finding(
                f'{arch}: {needs}',
                f'{ap[new] - ap[old]:+.1f} AP',
                f'{low:+.1f} to {high:+.1f} points of error '
                f'({100 * confidence(looks):g} %)',
                at_most(low, high, 0),
            )
        )
    gains = [
        np.subtract(errors[arch]['V1'], errors[arch]['+ residual'])
        for arch in ('V-99', 'V-39')
    ]
    low, high = difference(gains[1], gains[0], looks)
    paper = [TABLE[arch][1] - TABLE[arch][0] for arch in ('V-99', 'V-39')]
    findings.append(
        Finding(
            'the residual helps V-99 more than V-39',
            f'{paper[0]:+.1f} against {paper[1]:+.1f} AP',
            f'{gains[0].mean():.1f} against {gains[1].mean():.1f} points',
            at_most(low, high, 0),
        )
    )
    return findings


def _draw(figure: Figure, runs: dict) -> None:
    left, *right = figure.subplots(1, 3)
    right[1].sharey(right[0])
    colours = ['tab:red', 'tab:blue', 'tab:green']
    for i, (variant, colour) in enumerate(zip(VARIANTS, colours, strict=True)):
        for j, arch in enumerate(CONFIGS):
            errors = [run.error for run in runs[arch][variant]]
            place = j + 0.27 * (i - 1)
            name = None if j else variant
            draw_seeds(left, place, errors, color=colour, label=name)
        for ax, arch in zip(right, CONFIGS, strict=True):
            losses = np.array([run.losses for run in runs[arch][variant]])
            steps = np.arange(1, losses.shape[1] + 1)
            ax.plot(steps, losses.mean(0), color=colour, label=variant)
            ax.fill_between(
                steps, losses.min(0), losses.max(0), color=colour, alpha=0.2
            )
            ax.set(xlabel='epoch', ylabel='training loss', yscale='log')
            ax.set_title(f'{arch}: mean and range of the seeds', fontsize=10)
    left.set_xticks(range(2), CONFIGS)
    left.set(ylabel='error on held-out digits, %', ylim=(0, None))
    left.set_title(SEEDS, fontsize=10)
    left.legend()
