"""The runner of this package's configs."""

import inspect
import re
from contextlib import nullcontext
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import mmengine.runner
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import BaseLoop
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from mmvovnet.fileio import remove_leftovers
from mmvovnet.registry import RUNNERS
from mmvovnet.weights.errors import CheckpointError
from mmvovnet.weights.fit import Fit

from .interrupt import InterruptHook, shield_children
from .lock import lock_work_dir, make_work_dir
from .processes import init_gloo, meeting
from .resume import INTERRUPTED, CheckpointHook, saved
from .start import cannot_start, check_frozen, thaw

# Of a scheduler's state: how far it is.
_PROGRESS = ('last_step', 'verbose', '_global_step', '_last_value')

# That mmengine's does not have.
_SETTINGS = ('check_data', 'freeze_random', 'from_scratch', 'overwrite')


@RUNNERS.register_module()
class Runner(mmengine.runner.Runner):
    """mmengine's ``Runner``, which also distributes without an accelerator.

    On a CPU it uses gloo, with the same launchers, and mixed precision in
    bfloat16. On every device a training locks its work_dir, does not start
    over in one with an earlier training's checkpoints, and has these hooks in
    addition to mmengine's: :class:`~mmvovnet.weights.PixelStatisticsHook`,
    :class:`~mmvovnet.engine.Bfloat16Hook`,
    :class:`~mmvovnet.engine.FiniteLossHook`,
    :class:`~mmvovnet.engine.InterruptHook`.

    A config asks for it by ``runner_type='mmvovnet.Runner'``.
    """

    def __init__(
        self, model: nn.Module | dict, work_dir: str, *args, **kwargs
    ) -> None:
        make_work_dir(work_dir)
        thaw(model, kwargs.get('cfg'))
        super().__init__(model, work_dir, *args, **kwargs)
        known = {*_SETTINGS, *inspect.signature(super().__init__).parameters}
        for key in self.cfg.keys() - known:
            for near in get_close_matches(key, known, 1, cutoff=0.85):
                self.logger.warning(
                    f"'{key}' of the config is no setting of a run: is "
                    f"'{near}' meant?"
                )

    def setup_env(self, env_cfg: dict) -> None:
        """Start torch.distributed on a CPU, then what mmengine sets up."""
        if self.distributed and not is_distributed():
            dist_cfg = env_cfg.get('dist_cfg') or {}
            if _on_cpu():
                init_gloo(self.launcher, dist_cfg)
            elif self.launcher == 'pytorch':
                dist_cfg = dict(dist_cfg, **meeting())
                env_cfg = dict(env_cfg, dist_cfg=dist_cfg)
        super().setup_env(env_cfg)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register mmengine's hooks and those of this package."""
        added = dict(
            pixels=dict(type='mmvovnet.PixelStatisticsHook'),
            bfloat16=dict(type='mmvovnet.Bfloat16Hook'),
            finite=dict(type='mmvovnet.FiniteLossHook'),
            interrupt=dict(type='mmvovnet.InterruptHook'),
        )
        super().register_default_hooks(added | dict(hooks or {}))

    def train(self) -> nn.Module:
        """Train, alone in the work_dir.

        Raises:
            RuntimeError: Another training has the work_dir.
            FileNotFoundError: The work_dir was removed while training.
            FileExistsError: It holds checkpoints of an earlier training,
                neither ``resume`` nor ``overwrite=True`` is set.
            ValueError: :func:`mmvovnet.data_check.check` finds errors,
                and ``check_data=False`` is not set.
        """
        earlier = [] if self._resume else self._checkpoints()
        if earlier and not self.cfg.get('overwrite'):
            raise FileExistsError(
                f"'{earlier[-1]}' is of an earlier training, which this one "
                'would overwrite: --resume goes on from it, --work-dir names '
                'another folder, overwrite=True in the config '
                '(--cfg-options overwrite=True) removes it and starts over'
            )
        is_first = self.rank == 0
        with lock_work_dir(self.work_dir) if is_first else nullcontext():
            if is_first:
                self._tidy(earlier)
                if self.cfg.get('check_data', True):
                    self._check_data()
            try:
                return super().train()
            except Exception as error:
                if not Path(self.work_dir).exists():
                    raise FileNotFoundError(
                        f"the work_dir '{self.work_dir}' was removed during "
                        'the training, and its checkpoints with it: this one '
                        f'ended after iteration {self.iter}'
                    ) from error
                self.logger.error(
                    f'The training ended in iteration {self.iter + 1} (epoch '
                    f'{self.epoch + 1}) by the error below. What was saved '
                    'is whole; --resume goes on from the last checkpoint.'
                )
                raise
            finally:
                for hook in self.hooks:
                    if isinstance(hook, InterruptHook):
                        hook.after_train(self)

    def build_optim_wrapper(
        self, optim_wrapper: Optimizer | OptimWrapper | dict
    ) -> OptimWrapper | OptimWrapperDict:
        """Build it; a CPU gets :class:`~.amp.CPUAmpOptimWrapper`."""
        if (
            isinstance(optim_wrapper, dict)
            and optim_wrapper.get('type') == 'AmpOptimWrapper'
            and _on_cpu()
        ):
            kind = 'mmvovnet.CPUAmpOptimWrapper'
            optim_wrapper = dict(optim_wrapper, type=kind)
        return super().build_optim_wrapper(optim_wrapper)

    def _init_model_weights(self) -> None:
        """Initialise; a training that loads other weights needs no such file.

        Raises:
            SystemExit: Weights of ``init_cfg`` are not available and no others
                are loaded. The message is one line that says what to do.
        """
        try:
            super()._init_model_weights()
        except CheckpointError as error:
            if not (self._resume or self._load_from or self._has_loaded):
                raise cannot_start(error) from None
            self.logger.warning(
                f'{error} The weights that are loaded are enough.'
            )

    def load_or_resume(self) -> None:
        """Load what the config names, and check what the training starts from.

        Raises:
            ValueError: A part is frozen and random: see :func:`.check_frozen`.
        """
        super().load_or_resume()
        trains = isinstance(self._train_loop, BaseLoop)
        if trains and not self.cfg.get('freeze_random'):
            check_frozen(self.model)

    def resume(self, filename: str, *args, **kwargs) -> None:
        """Resume, and name the settings of the config that do not count."""
        asked = self._schedule()
        super().resume(filename, *args, **kwargs)
        if other := [
            f'{key} is {value} there and {asked.get(key)} here'
            for key, value in self._schedule().items()
            if asked.get(key) != value
        ]:
            self.logger.warning(
                'The schedule of the checkpoint goes on, not that of the '
                f"config: {'; '.join(other)}. For the config's, start over "
                f'from these weights: --cfg-options load_from={filename} and '
                'another --work-dir, without --resume.'
            )

    def _schedule(self) -> dict[str, Any]:
        """Settings of the schedule, without how far it is."""
        found = self.param_schedulers or []
        groups = found.values() if isinstance(found, dict) else [found]
        return {
            f'{type(scheduler).__name__}[{number}].{key}': value
            for number, scheduler in enumerate(chain(*groups))
            for key, value in scheduler.state_dict().items()
            if key not in _PROGRESS
        }

    def _check_data(self) -> None:
        from mmvovnet.data_check import check

        report = check(self.cfg, depth='presence')
        if report.errors:
            raise ValueError(
                f'this training would be wrong:\n{report}\n'
                'tools/check_data.py says more; check_data=False in the '
                'config trains anyway'
            )
        for found in report.findings:
            self.logger.info(f'{found.level}: {found.where}: {found.what}')

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load a checkpoint, and check that it fits the model.

        A training logs how much of the model was loaded. A test, or a training
        that resumes, needs all of it except for the config's ``may_miss``.

        Raises:
            CheckpointError: It does not fit, or nothing of it does.
        """
        fit = Fit(self.model)
        # Files are read without the names that torch.compile adds.
        kwargs['revise_keys'] = [
            *kwargs.get('revise_keys', [(r'^module\.', '')]),
            *(
                (f'^{re.escape(name.removesuffix("_orig_mod"))}', f'{name}.')
                for name, _ in fit.model.named_modules()
                if name.endswith('._orig_mod')
            ),
        ]
        with fit.recorded():
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        begins = isinstance(self._train_loop, BaseLoop) and not self._resume
        if begins and fit.loaded:
            self.logger.info(f"'{filename}' holds {fit}")
        else:
            fit.require(filename, self.cfg.get('may_miss', ()))
        return checkpoint

    def _checkpoints(self) -> list[Path]:
        """Those of an earlier training in the work_dir."""
        interrupted = Path(self.work_dir, INTERRUPTED)
        return [interrupted] * interrupted.exists() + [
            path
            for hook in self.hooks
            if isinstance(hook, CheckpointHook)
            for path in saved(hook.folder(self), hook.filename_tmpl)
        ]

    def _tidy(self, earlier: list[Path]) -> None:
        for path in filter(Path.is_file, earlier):
            path.unlink()
            self.logger.warning(f"overwrite=True: removed '{path}'.")
        if left := remove_leftovers(self.work_dir):
            self.logger.info(
                f'Removed {len(left)} unfinished files of processes that are '
                f"gone, such as '{left[0]}'."
            )

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop; one by epochs is that of :mod:`.interrupt`."""
        if isinstance(loop, dict) and loop.get('by_epoch'):
            loop = {k: v for k, v in loop.items() if k != 'by_epoch'}
            loop['type'] = 'EpochBasedTrainLoop'
        with shield_children():  # a loop by iterations starts workers
            return super().build_train_loop(loop)

    def wrap_model(
        self, model_wrapper_cfg: dict | None, model: nn.Module
    ) -> nn.Module:
        """Wrap the model for data-parallel training, on a CPU too."""
        if self.distributed and _on_cpu() and not is_model_wrapper(model):
            unused = self.cfg.get('find_unused_parameters', False)
            model_wrapper_cfg = model_wrapper_cfg or dict(
                broadcast_buffers=False, find_unused_parameters=unused
            )
            kind: Any = MODEL_WRAPPERS.get(
                model_wrapper_cfg.get('type', 'MMDistributedDataParallel')
            )
            if issubclass(kind, DistributedDataParallel):  # or a CUDA device
                model_wrapper_cfg = dict(model_wrapper_cfg, device_ids=None)
        return super().wrap_model(model_wrapper_cfg, model)


def _on_cpu() -> bool:
    return get_device() == 'cpu'
