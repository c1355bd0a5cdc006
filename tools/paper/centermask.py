"""What the parts of CenterMask add: arXiv 1911.06667, section 4.2."""

import io
import json
from itertools import product
from pathlib import Path
from typing import Any

import torch
from benchmark import Setting
from benchmark.summary import mean_and_deviation
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from scipy import stats

from mmvovnet.engine import load_config
from mmvovnet.fileio import write
from mmvovnet.weights import load

from .measured import SEEDS, draw_seeds
from .report import Finding, Result
from .training import CONFIGS, at_most, difference, fingerprint

CONFIG = 'centermask_vovnet27-slim_digits-sizes'
MASK_EPOCHS = 3
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


class _MasksAlone(Hook):
    """Trains the mask branch, and leaves the detector as it is."""

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        model = runner.model
        model.backbone.eval()
        model.neck.eval()
        for part in (model.backbone, model.neck, model.bbox_head):
            part.requires_grad_(False)


def check(out_dir: Path, seeds: int = 3) -> Result:
    """Train a detector once, and on it the mask branch of each variant.

    Each mask branch is evaluated twice: masks ranked by their own scores, and
    by those of their boxes.

    Args:
        out_dir (Path): Folder for the trainings.
        seeds (int): Seeds, from 0. Defaults to 3.

    Raises:
        ValueError: If one seed is to have a spread.
    """
    if seeds < 2:
        raise ValueError(f'a spread needs at least 2 seeds, got {seeds!r}')
    epochs = load_config(CONFIGS / f'{CONFIG}.py').train_cfg.max_epochs
    scores: Scores = {variant: [] for variant in VARIANTS}
    for seed, variant in product(range(seeds), VARIANTS):
        scores[variant].append(train(variant, seed, out_dir / 'trained'))
    columns = {
        'mask AP': 'mask',
        'mask AP, ranked by box scores': 'mask by box score',
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
            'images of digits with sides of 16 to 112 pixels. One detector, '
            f'with a box AP of {scores[WHOLE][0]["box"]:.1f} %, is trained '
            f'for {epochs} epochs from scratch; on its frozen features the '
            f'mask branch of each variant is trained anew for {MASK_EPOCHS} '
            'epochs, so that all have the same boxes. Mask scoring is '
            'compared within each training: same weights, masks ranked by '
            'the one or the other score. The paper trains whole models on '
            'COCO; what is tested '
            'here is the direction of each gain.'
        ],
        [
            {'variant': variant, 'seed': seed} | run
            for variant, runs in scores.items()
            for seed, run in enumerate(runs)
        ],
    )


def train(variant: str, seed: int, folder: Path) -> dict[str, float]:
    """Train a mask branch, unless its folder holds the result already.

    One by another config, code or machine is another one: see
    :func:`.training.fingerprint`.

    Args:
        variant (str): Key of :data:`VARIANTS`.
        seed (int): Seed.
        folder (Path): Folder for the folders of all trainings.

    Returns:
        dict[str, float]: AP in %: ``mask``, ``mask by box score``, ``box``.
    """
    cfg = _config(seed)
    cfg.merge_from_dict(VARIANTS[variant])
    options = [*variant.split(), f'{MASK_EPOCHS}e', f'seed{seed}']
    name = '_'.join([CONFIG, *options])
    record = folder / f'{name}_{fingerprint(cfg)}' / 'result.json'
    if not record.exists():
        cfg.work_dir = str(record.parent)
        cfg.load_from = str(_detector(folder))
        cfg.train_cfg.update(max_epochs=MASK_EPOCHS, val_interval=MASK_EPOCHS)
        runner = RUNNERS.build(cfg)
        runner.register_hook(_MasksAlone())
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


def _detector(folder: Path) -> Path:
    """Train CenterMask once; a file of all of it but the mask branch."""
    cfg = _config(seed=0)
    name = f'{CONFIG}_detector_{fingerprint(cfg)}'
    path = folder / name / 'detector.pth'
    if not path.exists():
        cfg.update(work_dir=str(path.parent), resume=True)
        RUNNERS.build(cfg).train()
        last = path.with_name(f'epoch_{cfg.train_cfg.max_epochs}.pth')
        state = {
            name: value
            for name, value in load(last)['state_dict'].items()
            if not name.startswith('roi_head.')
        }
        file = io.BytesIO()
        torch.save(dict(state_dict=state), file)
        write(path, file.getvalue())
    return path


def _config(seed: int) -> Config:
    cfg = load_config(CONFIGS / f'{CONFIG}.py')
    cfg.update(randomness=dict(seed=seed), log_level='WARNING')
    return cfg


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
    ax = figure.subplots()
    names = ('ranked by mask scores', 'ranked by box scores')
    for key, name, marker, shift in zip(
        ('mask', 'mask by box score'), names, 'ox', (-0.1, 0.1), strict=True
    ):
        for i, runs in enumerate(scores.values()):
            values = [run[key] for run in runs]
            draw_seeds(
                ax,
                i + shift,
                values,
                width=0.12,
                marker=marker,
                color='tab:blue' if marker == 'o' else 'tab:red',
                label=None if i else name,
            )
    ax.set_xticks(range(len(scores)), list(scores))
    ax.set(ylabel='mask AP, %', title=SEEDS)
    ax.legend()
