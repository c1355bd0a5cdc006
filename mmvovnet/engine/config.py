"""What the command-line tools do to every config."""

import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from torch.utils._pytree import tree_map_only

from mmvovnet.fileio import keep_apart
from mmvovnet.tasks import library

# Between parts of a word, not next to a comma, a bracket or a quote.
_INNER_SPACE = re.compile(r"""(?<=[^\s,=\[\]()'"]) (?=[^,=\[\]()'"])""")


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """The values of ``'key=value'``, with spaces inside of names and paths.

    Raises:
        ValueError: An option is not of that form.

    Example:
        >>> parse_options(['classes=[red cell, platelet]'])
        {'classes': ['red cell', 'platelet']}
    """
    for option in options:
        if '=' not in option:
            raise ValueError(f"'{option}' is no option: write KEY=VALUE")
    parsed = Namespace()
    kept = [_INNER_SPACE.sub('\0', option) for option in options]
    DictAction((), 'options')(None, parsed, kept)
    return tree_map_only(str, lambda x: x.replace('\0', ' '), parsed.options)


def load_config(
    path: str | Path,
    options: Sequence[str] = (),
    work_dir: str | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config of MMDetection's or MMPretrain's kind, ready to run.

    Args:
        path (str | Path): Path of the config.
        options (Sequence[str]): Changes to it, each ``'key=value'``.
        work_dir (str | None): Folder for the results. Defaults to the
            config's own, or else ``work_dirs/`` and the config's name.
        launcher (str): none, pytorch, slurm or mpi.

    Raises:
        ValueError: An option is not of the form ``key=value``, or the config
            that the run writes to ``work_dir`` would replace ``path``.
    """
    cfg = Config.fromfile(path)
    # mmengine writes and logs a config four times, and would lay it out by
    # yapf each time: 0.7 seconds of the start.
    object.__setattr__(cfg, '_format_python_code', False)
    cfg.merge_from_dict(parse_options(options))
    if scope := library(cfg):
        cfg.default_scope = scope
    default = Path('work_dirs', Path(path).stem)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(default)
    # What a run writes inherits from nothing, and may replace its like.
    if re.search(r'^_base_\s*=|\bread_base\(', Path(path).read_text(), re.M):
        keep_apart([Path(cfg.work_dir, Path(path).name)], [path])
    cfg.launcher = launcher
    cfg.setdefault('runner_type', 'mmvovnet.Runner')
    if cfg.get('default_scope') == 'mmpretrain':  # as its own tools do
        for stage in ('train', 'val', 'test'):
            loader = cfg.get(f'{stage}_dataloader') or {}
            loader.setdefault('collate_fn', dict(type='default_collate'))
    return cfg


def find_config(folder: str | Path) -> Path:
    """Find the config that a training left in its work dir.

    Raises:
        FileNotFoundError: Not exactly one Python file there describes a model.
    """
    found = [
        path
        for path in sorted(Path(folder).glob('*.py'))
        if re.search(r'^model\s*=', path.read_text(errors='replace'), re.M)
    ]
    if len(found) != 1:
        raise FileNotFoundError(
            f"'{folder}' should hold one config, that of a training, and "
            f'holds {[path.name for path in found]}'
        )
    return found[0]
