"""What the parts of CenterMask add: arXiv 1911.06667, section 4.2."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.registry import RUNNERS
from scipy import stats

from mmvovnet.analysis.benchmark import Setting
from mmvovnet.analysis.summary import mean_and_deviation
from mmvovnet.engine import load_config
from mmvovnet.fileio import write

from .report import Finding, Result
from .training import at_most, config_folder, difference

CONFIG = 'centermask_vovnet27-slim_digits-sizes'
WHOLE = 'CenterMask'
# mmdet's parts in place of CenterMask's, by what is left out.
VARIANTS: dict[str, dict[str, Any]] = {
    WHOLE: {},
    'without spatial attention': {
        'model.roi_head.mask_head.type': 'FCNMaskHead'
    },
    'levels by the rule of FPN': {
        'model.roi_head.mask_roi_extractor.type': 'SingleRoIExtractor',
        # A box of 224 pixels is the first of stride 16.
        'model.roi_head.mask_roi_extractor.finest_scale': 112,
    },
}

Scores = dict[str, list[dict[str, float]]]


def check(out_dir: Path, seeds: int = 3) -> Result:
    """Train CenterMask with and without spatial attention and its level rule.

    Each training is evaluated twice: masks ranked by their own scores, and by
    those of their boxes.

    Args:
        out_dir (Path): Folder for the trainings.
        seeds (int): Seeds, from 0. Defaults to 3.

    Raises:
        ValueError: If one seed is to have a spread.
    """
    if seeds < 2:
        raise ValueError(f'a spread needs at least 2 seeds, got {seeds!r}')
    scores: Scores = {variant: [] for variant in VARIANTS}
    for seed, variant in product(range(seeds), VARIANTS):
        scores[variant].append(train(variant, seed, out_dir / 'trained'))
    columns = {
        'mask AP': 'mask',
        'mask AP, ranked by box scores': 'mask by box score',
        'box AP': 'box',
    }
    return Result(
        'Spatial attention, level rule and mask scoring of CenterMask',
        _findings(scores),
        [
            {'variant': variant}
            | {
                column: mean_and_deviation([run[key] for run in runs], 1)
                for column, key in columns.items()
            }
            for variant, runs in scores.items()
        ],
        lambda figure: _draw(figure, scores),
        Setting(batch=4, size=128),
        range(seeds),
        [
            'AP is the mean ± standard deviation over the seeds, in %, of 100 '
            'images of digits with sides of 16 to 112 pixels, after 375 steps '
            'from scratch. The paper trains on COCO from weights of '
            'ImageNet; what is tested here is the direction of each gain. '
            'Mask scoring is compared within each training: same weights, '
            'masks ranked by the one or the other score.'
        ],
        [
            {'variant': variant, 'seed': seed} | run
            for variant, runs in scores.items()
            for seed, run in enumerate(runs)
        ],
    )


def train(variant: str, seed: int, folder: Path) -> dict[str, float]:
    """Train a variant, unless its folder holds the result already.

    Args:
        variant (str): Key of :data:`VARIANTS`.
        seed (int): Seed.
        folder (Path): Folder for the folders of all trainings.

    Returns:
        dict[str, float]: AP in %: ``mask``, ``mask by box score``, ``box``.
    """
    name = '_'.join([CONFIG, *variant.split(), f'seed{seed}'])
    record = folder / name / 'result.json'
    if not record.exists():
        cfg = load_config(config_folder() / f'{CONFIG}.py')
        cfg.merge_from_dict(VARIANTS[variant])
        cfg.update(
            work_dir=str(record.parent),
            randomness=dict(seed=seed),
            resume=True,
            log_level='WARNING',
        )
        runner = RUNNERS.build(cfg)
        runner.train()
        by_mask = runner.test()
        runner.model.roi_head.mask_iou_head = None
        by_box = runner.test()
        result = {  # there is no metric where nothing is found
            key: 100 * metrics.get(f'coco/{metric}', 0.0)
            for key, metrics, metric in (
                ('mask', by_mask, 'segm_mAP'),
                ('mask by box score', by_box, 'segm_mAP'),
                ('box', by_mask, 'bbox_mAP'),
            )
        }
        write(record, json.dumps(result).encode())
        print(f'{name}: {result}', flush=True)
    return json.loads(record.read_text())


def _findings(scores: Scores) -> list[Finding]:
    masks = {v: [run['mask'] for run in runs] for v, runs in scores.items()}
    parts = dict(
        zip(
            ('spatial attention', 'the level by the share of the image'),
            list(VARIANTS)[1:],
            strict=True,
        )
    )
    bounds = {
        part: difference(masks[WHOLE], masks[variant])
        for part, variant in parts.items()
    }
    gains = [
        run['mask'] - run['mask by box score']
        for runs in scores.values()
        for run in runs
    ]
    interval = stats.ttest_1samp(gains, 0).confidence_interval()
    bounds['mask scoring'] = interval.low, interval.high
    return [
        Finding(
            f'{part} adds to mask AP',
            'a gain',
            f'{low:+.1f} to {high:+.1f} AP (95 %)',
            at_most(-high, -low, 0),
        )
        for part, (low, high) in bounds.items()
    ]


def _draw(figure: Figure, scores: Scores) -> None:
    axes = figure.subplots(1, 2)
    for ax, key, title in zip(
        axes, ('mask', 'box'), ('masks', 'boxes'), strict=True
    ):
        for i, (variant, runs) in enumerate(scores.items()):
            values = [run[key] for run in runs]
            shifts = i + 0.1 * (np.arange(len(values)) - len(values) / 2 + 0.5)
            ax.plot(shifts, values, 'o', label=variant)
            ax.plot([i - 0.3, i + 0.3], [np.mean(values)] * 2, 'k-', lw=1)
            if key == 'mask':
                others = [run['mask by box score'] for run in runs]
                ax.plot(shifts, others, 'kx')
        ax.set_xticks(
            range(len(scores)), [v.replace(' ', '\n') for v in scores]
        )
        ax.set(ylabel='AP, %', title=f'{title}: a point a seed, and the mean')
    axes[0].plot([], [], 'kx', label='same weights, ranked by box scores')
    axes[0].legend()
