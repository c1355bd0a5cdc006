"""Trainings that claims are checked with."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmark import Setting, describe_machine
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from scipy import stats

import mmvovnet
from mmvovnet.engine import load_config
from mmvovnet.fileio import write

CONFIGS = Path(__file__).with_name('configs')
SEVERAL_LOOKS = (
    'Seeds were added after the results of the first ones were seen '
    '(optional stopping). The intervals are widened by Bonferroni, so that '
    'all looks together miss in 5 % of cases.'
)


@dataclass
class Run:
    """A finished training.

    Attributes:
        error (float): Errors on the held-out images, in %.
        losses (list[float]): Mean training loss of each epoch.
        initial (Path): The weights at the start.
        checkpoint (Path): The weights at the end.
    """

    error: float
    losses: list[float]
    initial: Path
    checkpoint: Path


class _KeepInitial(Hook):
    def before_train(self, runner: Runner) -> None:
        if not runner.iter:
            runner.save_checkpoint(
                runner.work_dir, 'initial.pth', save_optimizer=False
            )


def train(
    config: str,
    seed: int,
    folder: Path,
    epochs: int | None = None,
    **backbone: Any,
) -> Run:
    """Train a classifier, unless its folder holds the result already.

    A training that was interrupted goes on. One by another config, code or
    machine is another one: see :func:`fingerprint`.

    Args:
        config (str): Name of a config in ``tools/paper/configs``.
        seed (int): Seed.
        folder (Path): Folder for the folders of all trainings.
        epochs (int, optional): Epochs, with the steps of the learning rate in
            proportion. Defaults to None, the config's own.
        **backbone: Options of the backbone.

    Returns:
        Run: What came out.
    """
    cfg = load_config(CONFIGS / f'{config}.py')
    if epochs:
        scale = epochs / cfg.train_cfg.max_epochs
        schedule = cfg.param_scheduler
        schedule.milestones = [int(m * scale) for m in schedule.milestones]
        cfg.train_cfg.max_epochs = epochs
    epochs = cfg.train_cfg.max_epochs
    options = [f'{key}-{value}' for key, value in backbone.items()]
    name = '_'.join([config, *options, f'{epochs}e', f'seed{seed}'])
    cfg.model.backbone.update(backbone)
    cfg.randomness = dict(seed=seed)
    record = folder / f'{name}_{fingerprint(cfg)}' / 'result.json'
    if not record.exists():
        cfg.update(
            work_dir=str(record.parent),
            resume=True,
            log_level='WARNING',
        )
        cfg.default_hooks.checkpoint.max_keep_ckpts = 1
        runner = RUNNERS.build(cfg)
        runner.register_hook(_KeepInitial())
        runner.train()
        losses, _ = runner.message_hub.get_scalar('train/loss').data
        result = dict(
            error=100 - runner.test()['accuracy/top1'],
            losses=losses.reshape(epochs, -1).mean(1).tolist(),
        )
        write(record, json.dumps(result).encode())
        print(f'{name}: error {result["error"]:.2f} %', flush=True)
    result = json.loads(record.read_text())
    return Run(
        **result,
        initial=record.with_name('initial.pth'),
        checkpoint=record.with_name(f'epoch_{epochs}.pth'),
    )


def fingerprint(cfg: Config) -> str:
    """Eight digits that tell a training from all that may end otherwise.

    They depend on the config, on the code of this package's models and data,
    on the version of torch and on the machine.

    Args:
        cfg (Config): The config as it is run, but for its ``work_dir``.
    """
    package = Path(mmvovnet.__file__).parent
    networks = Path(__file__).with_name('networks')
    # Each folder in its own order: where the package lies has no part in it.
    sources = [
        path
        for room in (package / 'models', package / 'datasets', networks)
        for path in sorted(room.rglob('*.py'))
    ]
    settings = {k: v for k, v in cfg.to_dict().items() if k != 'work_dir'}
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    digest.update(describe_machine(Setting(batch=1)).encode())
    digest.update(torch.__version__.encode())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def difference(
    a: Sequence[float], b: Sequence[float], looks: int = 1
) -> tuple[float, float]:
    """Bound the difference of two means: Welch's confidence interval.

    Args:
        a (Sequence[float]): Values of a number of seeds.
        b (Sequence[float]): The others.
        looks (int): Times that results were looked at, more seeds being
            added in between. Defaults to 1; see :func:`confidence`.

    Returns:
        tuple[float, float]: Between what mean(a) - mean(b) is.

    Example:
        >>> low, high = difference([3.0, 3.1, 3.2], [1.0, 1.1, 1.2])
        >>> f'{low:.2f} to {high:.2f}'
        '1.77 to 2.23'
    """
    test = stats.ttest_ind(a, b, equal_var=False)
    interval = test.confidence_interval(confidence(looks))
    return interval.low, interval.high


def confidence(looks: int) -> float:
    """Level of an interval such that all looks together miss in 5 % of cases.

    Adding seeds because the first were inconclusive (optional stopping) makes
    false verdicts more likely; Bonferroni's correction makes up for it.

    Args:
        looks (int): Times that results were looked at.

    Example:
        >>> confidence(1), confidence(2)
        (0.95, 0.975)
    """
    return 1 - 0.05 / looks


def at_most(low: float, high: float, limit: float) -> bool | None:
    """Whether what is between two bounds is at most a limit; None: unclear.

    Example:
        >>> at_most(1, 2, limit=3), at_most(4, 5, 3), at_most(2, 4, 3)
        (True, False, None)
    """
    return True if high <= limit else False if low > limit else None
