"""What layers read: Figure 2 of arXiv 1904.09730."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from benchmark import Setting
from matplotlib.figure import Figure
from scipy import stats
from torch import Tensor

from .cifar import DATA, NETWORKS, trained
from .filters import filter_norms, load_weights
from .report import Finding, Result

EVEN = 0.5  # of the source that is read most
LEARNT = 0.5  # of the initial weights' L1 norm, to be more than chance


def check(
    out_dir: Path,
    data: str = 'digits',
    seeds: int = 5,
    epochs: int | None = None,
    checkpoint: str | None = None,
) -> Result:
    """Draw what the layers of the networks of the claim ``cifar`` read.

    Args:
        out_dir (Path): Folder for the trainings, shared with ``cifar``.
        data (str): 'digits' or 'cifar10'. Defaults to 'digits'.
        seeds (int): Seeds, from 0. Defaults to 5.
        epochs (int, optional): Epochs. Defaults to None, the configs' own.
        checkpoint (str, optional): Weights of any VoVNet, to be drawn instead.
            Defaults to None.
    """
    if checkpoint:
        return _check_checkpoint(checkpoint)
    runs = trained(out_dir, data, seeds, epochs)
    # Of shape (seeds, blocks, n + 1, n + 1).
    norms, changes, learnt = {}, {}, []
    for name, found in runs.items():
        pairs = [
            (load_weights(run.initial), load_weights(run.checkpoint))
            for run in found
        ]
        updates = [
            {k: end[k] - start[k] for k in start} for start, end in pairs
        ]
        norms[name] = np.array([_blocks(end) for _, end in pairs])
        changes[name] = np.array([_blocks(update) for update in updates])
        learnt += [
            sum(update[k].abs().sum() for k in start if start[k].dim() == 4)
            / sum(start[k].abs().sum() for k in start if start[k].dim() == 4)
            for (start, _), update in zip(pairs, updates, strict=True)
        ]
    learnt = float(np.mean(learnt))
    maps, changed = (_by_block(found) for found in (norms, changes))
    return Result(
        f'What layers read, trained on {data}',
        _findings(norms, learnt),
        [{'of': 'weights'} | row for row in _rows(maps)]
        + [{'of': 'change'} | row for row in _rows(changed)],
        lambda figure: _draw(figure, maps, changed),
        Setting(batch=64, size=DATA[data]),
        range(seeds),
        [
            'L1 norm of the filters between a source and a target, averaged '
            'over their channels and the seeds; the table has what the last '
            'layer of a block reads, as a share of what it reads most.',
            f'Training changed the weights by {learnt:.0%} of the L1 norm '
            'that they began with. Below a half they are still, for the most '
            'part, the random ones, which read all sources alike, and the '
            "paper's claims about them cannot be tested: that would need "
            'more, such as the 300 epochs on CIFAR-10 of '
            '`--options data=cifar10`. The change shows what training itself '
            'reads.',
        ],
    )


def _blocks(state: dict[str, Tensor]) -> list[np.ndarray]:
    return list(filter_norms(state).values())


def _by_block(norms: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The mean over the seeds, by what the block is called."""
    return {
        f'{NETWORKS[name][0]}, {_kind(name)} {i + 1}': found[:, i].mean(0)
        for name, found in norms.items()
        for i in range(3)
    }


def _kind(name: str) -> str:
    return 'dense block' if name == 'densenet40' else 'module'


def _shares(norms: np.ndarray) -> np.ndarray:
    """What each target reads, the source that it reads most as 1."""
    return norms / np.nanmax(norms, axis=-2, keepdims=True)


def _last(norms: np.ndarray) -> np.ndarray:
    """What the last layer reads from each source, the most as 1."""
    return _shares(norms)[..., -1]


def _rows(maps: dict[str, np.ndarray]) -> list[dict]:
    count = max(len(norms) for norms in maps.values())
    return [
        {'block': name}
        | {
            'input' if s == 0 else str(s): (
                f'{_last(norms)[s]:.2f}' if s < len(norms) else ''
            )
            for s in range(count)
        }
        for name, norms in maps.items()
    ]


def _findings(norms: dict[str, np.ndarray], learnt: float) -> list[Finding]:
    dense = norms['densenet40']
    # How strongly layers, and the last one, read layers before, not the input.
    shares = _shares(dense)
    inner = np.nanmean(shares[..., 1:, :-1], axis=(2, 3))
    last = shares[..., 1:, -1].mean(-1)
    related = [
        stats.pearsonr(x, y)[0] for x, y in zip(inner, last, strict=True)
    ]
    few = (_last(dense[:, 2]) > EVEN).mean(-1)
    deep = _last(norms['osa12x20'])[..., 1:]
    layers = np.arange(deep.shape[-1])
    slope = [
        np.mean([stats.spearmanr(layers, block)[0] for block in blocks])
        for blocks in deep
    ]
    evenness = {
        name: (_last(norms[name]) > EVEN).mean((1, 2)) for name in norms
    }
    parts = [
        (
            'DenseNet-40: where layers read the layers before them, the last '
            'layer of the block reads them less (correlation over 3 blocks)',
            'negative',
            related,
            [r < 0 for r in related],
        ),
        (
            'DenseNet-40: the classifier reads a minority of its sources '
            'more than half as much as the one it reads most',
            'a small part',
            few,
            few < 0.5,
        ),
        (
            'OSA 12x20: the aggregation reads shallow layers more than deep '
            'ones (rank correlation with depth, mean of 3 modules)',
            'negative',
            slope,
            [r < 0 for r in slope],
        ),
        (
            'OSA 5x43: the aggregation reads more of its sources more than '
            "half as much than OSA 12x20's does",
            'more evenly',
            evenness['osa5x43'] - evenness['osa12x20'],
            evenness['osa5x43'] > evenness['osa12x20'],
        ),
    ]
    return [_finding(learnt > LEARNT, *part) for part in parts]


def _finding(
    learnt: bool,
    claim: str,
    paper: str,
    values: Iterable[float],
    holds: Iterable[bool],
) -> Finding:
    """Find what all seeds agree upon, if they learnt enough."""
    parts = {bool(part) for part in holds}
    verdict = parts.pop() if learnt and len(parts) == 1 else None
    here = ', '.join(f'{value:.2f}' for value in values)
    return Finding(claim, paper, f'{here} (each seed)', verdict)


def _check_checkpoint(path: str) -> Result:
    maps = filter_norms(load_weights(path))
    share = np.mean([_last(norms) > EVEN for norms in maps.values()])
    finding = Finding(
        'aggregations read most of their sources more than half as much as '
        'the one they read most',
        'not stated',
        f'{share:.0%} of the sources',
        bool(share > EVEN),
    )
    return Result(
        f'What aggregations read, {Path(path).name}',
        [finding],
        _rows(maps),
        lambda figure: _draw_last(figure, maps),
        notes=['L1 norm of the filters by source, as a share of the largest.'],
    )


def _draw(
    figure: Figure,
    maps: dict[str, np.ndarray],
    changed: dict[str, np.ndarray],
) -> None:
    """A heat map per block, as in the paper, and one of its change."""
    halves = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    titles = ('weights', 'their change by training')
    for half, title, found in zip(
        halves, titles, (maps, changed), strict=True
    ):
        half.suptitle(title)
        axes = half.subplots(3, 3)
        for ax, (name, norms) in zip(axes.T.flat, found.items(), strict=True):
            image = ax.imshow(
                _shares(norms), 'viridis', vmin=0, vmax=1, aspect='auto'
            )
            ax.set_title(name.replace('dense ', ''), fontsize=8)
            ticks = np.arange(0, len(norms), len(norms) // 6)
            labels = np.array(['in', *range(1, len(norms)), 'last'])
            ax.set_xticks(ticks, labels[ticks + 1], fontsize=6)
            ax.set_yticks(ticks, labels[ticks], fontsize=6)
        for ax in axes[-1]:
            ax.set_xlabel('target', fontsize=8)
        for ax in axes[:, 0]:
            ax.set_ylabel('source', fontsize=8)
    half.colorbar(
        image, ax=axes, label='average filter L1 norm, largest of a target = 1'
    )


def _draw_last(figure: Figure, maps: dict[str, np.ndarray]) -> None:
    """What each aggregation reads, a column per module."""
    ax = figure.subplots()
    shares = np.array([_last(norms) for norms in maps.values()]).T
    image = ax.imshow(shares, 'viridis', vmin=0, vmax=1, aspect='auto')
    names = [re.findall(r'\d+', name) for name in maps]
    labels = [f'stage {int(a) + 2}\nmodule {int(b) + 1}' for a, b in names]
    ax.set_xticks(range(len(labels)), labels)
    ax.set_yticks(
        range(len(shares)),
        ['input', *(f'layer {i}' for i in range(1, len(shares)))],
    )
    for (source, module), share in np.ndenumerate(shares):
        ax.text(
            module, source, f'{share:.2f}', ha='center', va='center',
            color='black' if share > EVEN else 'white',
        )  # fmt: skip
    figure.colorbar(
        image, label='average filter L1 norm, largest of the module = 1'
    )
