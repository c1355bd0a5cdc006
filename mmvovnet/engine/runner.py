"""The runner of this package's configs."""

import os
import subprocess
from datetime import timedelta

import mmengine.runner
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import METRICS
from torch import distributed, nn

from mmvovnet.registry import MODEL_WRAPPERS, RUNNERS

_WRAPPER = 'MMDistributedDataParallel'

# What torch.distributed reads, and where the launchers put it.
_LAUNCHERS = {
    'pytorch': {},
    'slurm': {
        'RANK': 'SLURM_PROCID',
        'LOCAL_RANK': 'SLURM_LOCALID',
        'WORLD_SIZE': 'SLURM_NTASKS',
    },
    'mpi': {
        'RANK': 'OMPI_COMM_WORLD_RANK',
        'LOCAL_RANK': 'OMPI_COMM_WORLD_LOCAL_RANK',
        'WORLD_SIZE': 'OMPI_COMM_WORLD_SIZE',
    },
}


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """``MMDistributedDataParallel`` without the device that mmengine names."""

    def __init__(
        self, module: nn.Module, device_ids: list[int] | None = None, **kwargs
    ) -> None:
        super().__init__(module, **kwargs)


@RUNNERS.register_module()
class Runner(mmengine.runner.Runner):
    """mmengine's ``Runner``, which also distributes without an accelerator.

    mmengine starts torch.distributed by setting a CUDA device, and wraps the
    model for one. On a CPU this runner starts it with gloo, by the same
    launchers, and wraps the model without. Elsewhere it is mmengine's runner,
    with one more hook: :class:`~mmvovnet.checkpoint.PixelStatisticsHook`.

    A config asks for it by ``runner_type='mmvovnet.Runner'``.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """Start torch.distributed on a CPU, then what mmengine sets up."""
        if self.distributed and not is_distributed() and _on_cpu():
            _init_gloo(self.launcher, env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register mmengine's hooks and the check of pixel statistics."""
        pixels = dict(type='mmvovnet.PixelStatisticsHook')
        super().register_default_hooks(dict(pixels=pixels, **(hooks or {})))

    def wrap_model(
        self, model_wrapper_cfg: dict | None, model: nn.Module
    ) -> nn.Module:
        """Wrap the model for data-parallel training, on a CPU too.

        Raises:
            ValueError: The model holds SyncBN, which works on GPUs alone.
        """
        if self.distributed and _on_cpu() and not is_model_wrapper(model):
            for name, module in model.named_modules():
                if isinstance(module, nn.SyncBatchNorm):
                    raise ValueError(
                        f"'{name}' is a SyncBN layer, which works on GPUs "
                        "alone: set norm_cfg=dict(type='BN') or GN, or run "
                        'one process, where mmengine makes BN of it.'
                    )
            model_wrapper_cfg = model_wrapper_cfg or dict(
                broadcast_buffers=False,
                find_unused_parameters=self.cfg.get(
                    'find_unused_parameters', False
                ),
            )
            if model_wrapper_cfg.get('type', _WRAPPER) == _WRAPPER:
                model_wrapper_cfg = dict(
                    model_wrapper_cfg,
                    type='mmvovnet.CPUDistributedDataParallel',
                )
        return super().wrap_model(model_wrapper_cfg, model)


def _on_cpu() -> bool:
    return get_device() == 'cpu'


def _init_gloo(launcher: str, dist_cfg: dict) -> None:
    """Start torch.distributed from what the launcher put in the environment.

    Args:
        launcher (str): pytorch, slurm or mpi.
        dist_cfg (dict): mmengine's; its ``timeout``, in seconds, is kept.
    """
    env = os.environ
    for name, source in _LAUNCHERS[launcher].items():
        env[name] = env[source]
    if launcher == 'slurm' and 'MASTER_ADDR' not in env:
        command = ['scontrol', 'show', 'hostnames', env['SLURM_NODELIST']]
        hosts = subprocess.check_output(command, text=True)
        env['MASTER_ADDR'] = hosts.split()[0]
    port = dist_cfg.get('port') or env.get('MASTER_PORT', 29500)
    env['MASTER_PORT'] = str(port)
    options = {}
    if 'timeout' in dist_cfg:
        options['timeout'] = timedelta(seconds=dist_cfg['timeout'])
    distributed.init_process_group('gloo', **options)


def dump_predictions(runner: mmengine.runner.Runner, path: str) -> None:
    """Have a runner's test write its predictions to a file.

    Args:
        runner (mmengine.runner.Runner): Of MMDetection or MMPretrain.
        path (str): The file, ``.pkl`` or ``.pickle``.
    """
    detects = runner.cfg.get('default_scope') == 'mmdet'
    kind = 'DumpDetResults' if detects else 'DumpResults'
    runner.test_evaluator.metrics.append(
        METRICS.build(dict(type=kind, out_file_path=path))
    )
