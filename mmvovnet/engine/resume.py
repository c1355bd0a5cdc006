"""Which checkpoint a training resumes from, and which ones it keeps."""

import re
from pathlib import Path
from typing import Any

import mmengine.hooks
from mmengine.dist import is_main_process
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.runner import Runner

from mmvovnet.weights import CheckpointError, is_whole, load

INTERRUPTED = 'interrupted.pth'
"""The checkpoint of a training that a signal stopped within an epoch."""


@ROOT_HOOKS.register_module(force=True)
class CheckpointHook(mmengine.hooks.CheckpointHook):
    """mmengine's hook, which never loses a complete checkpoint.

    A run that resumes by itself takes the newest whole checkpoint, whatever
    ``work_dir/last_checkpoint`` says. With ``max_keep_ckpts`` the oldest goes
    when the new one is saved, not before.
    """

    def before_run(self, runner: Runner) -> None:
        """Choose what the runner resumes from."""
        super().before_run(runner)
        if not runner._resume or runner._load_from is not None:
            return
        pointer = Path(runner.work_dir, 'last_checkpoint')
        try:
            name = pointer.read_text().strip()
        except (OSError, UnicodeDecodeError):
            name = ''
        # Not checked: remote files and folders (DeepSpeed).
        if '://' in name or (name and Path(name).is_dir()):
            return
        folder = self.folder(runner)
        last = newest(runner.work_dir, self.filename_tmpl, folder)
        if last is None and is_whole(name):
            last = Path(name)
        if last is None:
            runner._resume = False
            runner.logger.warning(
                f"There is no whole checkpoint in '{folder}': the training "
                'starts from scratch.'
            )
            return
        runner._load_from = str(last)
        if last != Path(name):
            runner.logger.warning(
                f"'{pointer}' names '{name}', and the newest whole checkpoint "
                f"is '{last}': resuming from that."
            )

    def folder(self, runner: Runner) -> Path:
        """Where this run's checkpoints are."""
        name = Path(runner.work_dir).name
        folder = Path(self.out_dir or runner.work_dir)
        return folder if folder.name == name else folder / name

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to resume from weights alone, by a CheckpointError."""
        meta = checkpoint.get('meta') or {}
        lacks = [k for k in ('epoch', 'iter') if k not in meta]
        lacks += [k for k in ('message_hub',) if k not in checkpoint]
        if runner._resume and lacks:
            raise CheckpointError(
                'the checkpoint holds weights and not the state of a training '
                f'(it lacks {", ".join(lacks)}), so that none can be resumed '
                'from it: to start a new training with these weights, set '
                'load_from, without --resume'
            )

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        outdated = None
        if self.max_keep_ckpts > 0:
            kept = self.keep_ckpt_ids
            if len(kept) == self.max_keep_ckpts and kept[-1] != step:
                outdated = kept.popleft()  # or mmengine would remove it first
        super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():
            if outdated is not None:
                name = self.filename_tmpl.format(outdated)
                path = self.file_backend.join_path(self.out_dir, name)
                if self.file_backend.isdir(path):
                    self.file_backend.rmtree(path)
                elif self.file_backend.exists(path):
                    self.file_backend.remove(path)
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)


def saved(folder: str | Path, template: str) -> list[Path]:
    """The checkpoints that a template names, the latest last, whole or not."""
    numbered = {}
    for path in Path(folder).glob('*'):
        for number in map(int, re.findall(r'\d+', path.name)):
            if template.format(number) == path.name:
                numbered[path] = number
    return sorted(numbered, key=numbered.__getitem__)


def newest(
    work_dir: str | Path, template: str, folder: str | Path | None = None
) -> Path | None:
    """The latest whole checkpoint of a run.

    Args:
        work_dir (str | Path): Of the run.
        template (str): Of the names, such as ``epoch_{}.pth``.
        folder (str | Path | None): Where those are. Defaults to ``work_dir``.

    Example:
        >>> newest('no_such_folder', 'epoch_{}.pth') is None
        True
    """
    interrupted = Path(work_dir, INTERRUPTED)
    others = reversed(saved(folder or work_dir, template))
    last = next(filter(is_whole, others), None)
    if not is_whole(interrupted):
        return last
    return max(interrupted, last, key=_iterations) if last else interrupted


def _iterations(path: Path) -> int:
    return load(path, 'cpu').get('meta', {}).get('iter', -1)
