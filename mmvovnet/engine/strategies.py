"""mmengine's FSDP on today's PyTorch."""

import mmengine._strategy
import torch
from mmengine.device import get_device
from mmengine.registry import STRATEGIES as ROOT_STRATEGIES
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from .processes import init_gloo


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
        """Load the optimizer: PyTorch 2.1 exchanged these arguments."""
        self.optim_wrapper.load_state_dict(
            FullyShardedDataParallel.optim_state_dict_to_load(
                model=self.model,
                optim=self.optim_wrapper.optimizer,
                optim_state_dict=state_dict,
            )
        )
