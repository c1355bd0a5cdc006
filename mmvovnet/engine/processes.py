"""How the processes of a distributed training meet."""

import os
import subprocess
import time
import uuid
from datetime import timedelta
from typing import Any

from torch import distributed

JOIN_TIMEOUT = 120
"""Seconds that a process waits for the others of its group to start."""

# Where launchers put RANK, LOCAL_RANK and WORLD_SIZE.
_LAUNCHERS = {
    'pytorch': (),
    'slurm': ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS'),
    'mpi': tuple(
        f'OMPI_COMM_WORLD_{name}' for name in ('RANK', 'LOCAL_RANK', 'SIZE')
    ),
}


def init_gloo(launcher: str, dist_cfg: dict) -> None:
    """Start torch.distributed from what the launcher put in the environment.

    Args:
        launcher (str): pytorch, slurm or mpi.
        dist_cfg (dict): mmengine's; its ``timeout`` and ``port`` count.
    """
    env = os.environ
    names = 'RANK', 'LOCAL_RANK', 'WORLD_SIZE'
    for name, source in zip(names, _LAUNCHERS[launcher], strict=False):
        env[name] = env[source]
    if launcher == 'slurm' and 'MASTER_ADDR' not in env:
        command = ['scontrol', 'show', 'hostnames', env['SLURM_NODELIST']]
        hosts = subprocess.check_output(command, text=True)
        env['MASTER_ADDR'] = hosts.split()[0]
    port = dist_cfg.get('port') or env.get('MASTER_PORT', 29500)
    env['MASTER_PORT'] = str(port)
    timeout = timedelta(seconds=dist_cfg.get('timeout', 1800))
    distributed.init_process_group('gloo', timeout=timeout, **meeting())


def meeting() -> dict[str, Any]:
    """Where the processes of a group find each other, and for how long.

    torchrun serves one store for all attempts, with the same keys, so that a
    restarted group finds the addresses of dead processes ("Connection
    refused"). Here each group has keys of its own.

    Raises:
        RuntimeError: If not all processes start within JOIN_TIMEOUT.
    """
    env = os.environ
    rank, size = int(env['RANK']), int(env['WORLD_SIZE'])
    served = env.get('TORCHELASTIC_USE_AGENT_STORE') == 'True'
    try:
        server = distributed.TCPStore(
            env['MASTER_ADDR'],
            int(env['MASTER_PORT']),
            size,
            is_master=rank == 0 and not served,
            timeout=timedelta(seconds=JOIN_TIMEOUT),
        )
        store = distributed.PrefixStore(
            f'mmvovnet {_agree(server, rank, size)}', server
        )
    except (distributed.DistError, TimeoutError) as error:
        raise RuntimeError(
            f'process {rank} of {size} waited {JOIN_TIMEOUT} s for the others '
            f'at {env["MASTER_ADDR"]}:{env["MASTER_PORT"]}: one of them has '
            'not started, or has ended; its own log says why'
        ) from error
    return dict(store=store, rank=rank, world_size=size)


def _agree(store: distributed.Store, rank: int, size: int) -> str:
    """Give the processes that live a name in common."""
    # torchrun counts restarts on each node by itself, so that its count is no
    # such name. Rank 0 makes one up, and says it until all others, who first
    # forget what a dead one said, have heard it.
    if rank:
        store.delete_key(f'name for {rank}')
        name = store.get(f'name for {rank}').decode()  # once it is there
        store.set(f'{name} heard by {rank}', '')
        return name
    name = uuid.uuid4().hex
    deadline = time.monotonic() + JOIN_TIMEOUT
    while not store.check([f'{name} heard by {r}' for r in range(1, size)]):
        if time.monotonic() > deadline:
            raise TimeoutError
        for other in range(1, size):
            store.set(f'name for {other}', name)
        time.sleep(0.02)
    return name
