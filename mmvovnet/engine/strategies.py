"""mmengine's FSDP on today's PyTorch, and the runner of its strategies."""

import mmengine._strategy
import mmengine.runner
import torch
from mmengine.device import get_device
from mmengine.registry import STRATEGIES as ROOT_STRATEGIES
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mmvovnet.registry import RUNNERS
from mmvovnet.weights import CheckpointError

from .processes import init_gloo
from .start import cannot_start, check_frozen, thaw


@ROOT_STRATEGIES.register_module(force=True)
class FSDPStrategy(mmengine._strategy.FSDPStrategy):
    """mmengine's strategy, which also resumes, and runs on a CPU.

    ``state_dict_cfg='full'`` writes checkpoints that other runs and tools can
    read; those of mmengine's default, ``'local'``, hold parts of tensors for
    as many processes as wrote them, and are refused.
    """

    model_wrapper: dict | None

    def _setup_distributed(self, launcher: str, *args, **kwargs) -> None:
        """Start torch.distributed, with gloo on a CPU."""
        if get_device() == 'cpu':
            init_gloo(launcher, kwargs)
        else:
            super()._setup_distributed(launcher, *args, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Wrap the model: mmengine names a CUDA device."""
        if get_device() == 'cpu':
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
    """mmengine's runner of strategies, which also checks its start.

    ``from_scratch`` and ``freeze_random`` of a config work as for
    :class:`~mmvovnet.engine.Runner`.
    """

    def __init__(self, model: nn.Module | dict, *args, **kwargs) -> None:
        cfg = kwargs.get('cfg') or {}
        if cfg.get('from_scratch') is True and isinstance(model, dict):
            thaw(model)
        super().__init__(model, *args, **kwargs)

    def train(self) -> nn.Module:
        """Train.

        Raises:
            SystemExit: Weights of ``init_cfg`` are not available. The message
                is one line that says what to do.
            ValueError: :func:`.start.check_frozen` finds a part that is frozen
                and random, and ``freeze_random=True`` is not set.
        """
        self._trains = True
        try:
            return super().train()
        except CheckpointError as error:
            raise cannot_start(error) from None

    def load_or_resume(self) -> None:
        """Load what the config names, and check what the training starts from.

        Raises:
            ValueError: As of :meth:`train`.
        """
        super().load_or_resume()
        trains = getattr(self, '_trains', False)
        if trains and not self.cfg.get('freeze_random'):
            check_frozen(self.model)
