"""The checkpoint that a training resumes from."""

import re
from pathlib import Path

from mmvovnet.weights import is_whole, load

INTERRUPTED = 'interrupted.pth'
"""The checkpoint of a training that a signal stopped within an epoch."""


def saved(folder: str | Path, template: str) -> list[Path]:
    """The checkpoints of a run, the latest last, whole or not.

    Args:
        folder (str | Path): Where they are.
        template (str): Of their names, such as ``epoch_{}.pth``.
    """
    numbered = {}
    for path in Path(folder).glob('*'):
        for number in map(int, re.findall(r'\d+', path.name)):
            if template.format(number) == path.name:
                numbered[path] = number
    return sorted(numbered, key=numbered.__getitem__)


def newest(folder: str | Path, template: str) -> Path | None:
    """The latest whole checkpoint of a run.

    Args:
        folder (str | Path): Where the run's checkpoints are.
        template (str): Of their names, such as ``epoch_{}.pth``.

    Returns:
        Path | None: One that the template names, or
        :data:`INTERRUPTED` if that holds more iterations.

    Example:
        >>> newest('no_such_folder', 'epoch_{}.pth') is None
        True
    """
    regular = next(filter(is_whole, reversed(saved(folder, template))), None)
    interrupted = Path(folder, INTERRUPTED)
    if not is_whole(interrupted):
        return regular
    if regular is None:
        return interrupted
    return max(interrupted, regular, key=_iterations)


def _iterations(path: Path) -> int:
    return load(path, 'cpu').get('meta', {}).get('iter', -1)
