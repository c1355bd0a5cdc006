"""mmengine's FSDP on today's PyTorch, and the runner of its strategies."""

import mmengine._strategy
import mmengine.runner
import torch
from mmengine.device import get_device
from mmengine.registry import STRATEGIES as ROOT_STRATEGIES
from mmengine.runner import BaseLoop
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mmvovnet.registry import RUNNERS
from mmvovnet.weights import CheckpointError

from .processes import init_gloo
from .resume import CheckpointHook
from .start import cannot_start, check_frozen, thaw


@ROOT_STRATEGIES.register_module(force=True)
class FSDPStrategy(mmengine._strategy.FSDPStrategy):
    """mmengine's strategy, which also resumes, and runs on a CPU.

    Use ``state_dict_cfg='full'``: checkpoints of mmengine's default,
    ``'local'``, hold parts of tensors for as many processes as wrote them, and
    are refused.
    """

    model_wrapper: dict | None

    def _setup_distributed(self, launcher: str, *args, **kwargs) -> None:
        if get_device() == 'cpu':
            init_gloo(launcher, kwargs)
        else:
            super()._setup_distributed(launcher, *args, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        if get_device() == 'cpu':  # mmengine names a CUDA device
            self.model_wrapper = {
                'type': 'MMFullyShardedDataParallel',
                'device_id': torch.device('cpu'),
                **(self.model_wrapper or {}),
            }
        return super()._wrap_model(model)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer: mmengine has these arguments in an old order."""
        self.optim_wrapper.load_state_dict(
            FullyShardedDataParallel.optim_state_dict_to_load(
                model=self.model,
                optim=self.optim_wrapper.optimizer,
                optim_state_dict=state_dict,
            )
        )


@RUNNERS.register_module()
class FlexibleRunner(mmengine.runner.FlexibleRunner):
    """mmengine's runner of strategies, which also checks its start."""

    def __init__(self, model: nn.Module | dict, *args, **kwargs) -> None:
        thaw(model, kwargs.get('cfg'))
        super().__init__(model, *args, **kwargs)

    def train(self) -> nn.Module:
        """Train; a SystemExit names weights that are not available."""
        try:
            return super().train()
        except CheckpointError as error:
            raise cannot_start(error) from None

    def load_or_resume(self) -> None:
        """Load what the config names, and check what the training starts from.

        Raises:
            ValueError: A part is frozen and random: see :func:`.check_frozen`.
        """
        for hook in self.hooks:
            if isinstance(hook, CheckpointHook):
                hook.before_run(self)  # mmengine calls it after loading
        super().load_or_resume()
        trains = isinstance(self._train_loop, BaseLoop)
        if trains and not self.cfg.get('freeze_random'):
            check_frozen(self.model)
