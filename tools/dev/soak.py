"""Train often under random faults: ``python tools/dev/soak.py --runs 200``.

Each run is a short training of the digits' classifier, in a process of its
own, to which one fault happens at a random time. It is then resumed until it
ends, and its weights are compared with those of an undisturbed training. The
exit code is 1 if any differ.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ARCH = dict(
    stem_channels=(8, 8, 8),
    conv_channels=(8, 8, 8, 8),
    out_channels=(8, 8, 8, 8),
    num_modules=(1, 1, 1, 1),
    num_layers=1,
)
CONFIG = 'configs/demo/vovnet27-slim_digits.py'
FAULTS = (
    'SIGKILL',
    'SIGKILL while saving',
    'SIGTERM',
    'SIGINT',
    'SIGUSR1',
    'disk full',
    'last checkpoint torn',
    'last_checkpoint garbage',
    'last_checkpoint deleted',
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train under random faults')
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--minutes', type=float, help='stop after these')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--faults', nargs='+', choices=FAULTS, default=FAULTS, help='all'
    )
    return parser.parse_args()


def config(work_dir: Path) -> object:
    """Three epochs of ten iterations, with random augmentation."""
    from mmvovnet.engine import load_config

    cfg = load_config(
        Path(__file__).parents[2] / CONFIG, work_dir=str(work_dir)
    )
    cfg.model.backbone.arch = ''  # a dict takes no text's place
    cfg.model.backbone = dict(cfg.model.backbone, arch=ARCH)
    cfg.model.head.in_channels = 8
    cfg.train_cfg.max_epochs = 3
    cfg.train_dataloader.dataset.indices = 320
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    cfg.log_level = 'ERROR'
    cfg.experiment_name = work_dir.name
    cfg.resume = True
    return cfg


def start(work_dir: Path, fault: str = '') -> int:
    """Train in a process of its own, and return its pid."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        quiet = os.open(work_dir.with_suffix('.log'), os.O_CREAT | os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        train(work_dir, fault)
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def train(work_dir: Path, fault: str) -> None:
    """Train; some faults are made from within."""
    from mmengine.registry import RUNNERS

    saves = random.randint(1, 3)
    fsync = os.fsync

    def failing(file: int) -> None:
        nonlocal saves
        saves -= os.fstat(file).st_size > 10_000  # a checkpoint, no text
        if saves == 0 and fault == 'SIGKILL while saving':
            os.kill(os.getpid(), signal.SIGKILL)
        if saves == 0 and fault == 'disk full':
            raise OSError(28, 'No space left on device')
        fsync(file)

    os.fsync = failing
    RUNNERS.build(config(work_dir)).train()


def damage(work_dir: Path, fault: str) -> None:
    """Damage what a killed training has left."""
    pointer = work_dir / 'last_checkpoint'
    saved = sorted(work_dir.glob('epoch_*.pth'))
    if fault == 'last checkpoint torn' and saved:
        saved[-1].write_bytes(saved[-1].read_bytes()[:5000])
    elif fault == 'last_checkpoint garbage' and work_dir.exists():
        pointer.write_bytes(os.urandom(20))
    elif fault == 'last_checkpoint deleted':
        pointer.unlink(missing_ok=True)


def wait(pid: int) -> int:
    """The exit code of a process; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def weights(work_dir: Path) -> dict:
    """The last weights."""
    from mmvovnet.weights import load

    return load(work_dir / 'epoch_3.pth')['state_dict']


def main() -> None:
    """Run, and print a table of what happened."""
    args = parse_args()
    import mmpretrain.models  # noqa: F401, once for all
    import torch

    import mmvovnet.datasets
    import mmvovnet.engine  # noqa: F401

    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix='soak-'))
    begin = time.monotonic()
    if wait(start(folder / 'whole')):
        sys.exit((folder / 'whole.log').read_text())
    duration = time.monotonic() - begin
    expected = weights(folder / 'whole')
    draw = random.Random(args.seed)
    ended, equal, codes = Counter(), Counter(), {}
    total = 0
    for run in range(args.runs):
        if args.minutes and time.monotonic() - begin > 60 * args.minutes:
            break
        fault = draw.choice(args.faults)
        random.seed(draw.random())
        work_dir = folder / f'run-{run}'
        pid = start(work_dir, fault)
        if fault not in ('SIGKILL while saving', 'disk full'):
            time.sleep(draw.uniform(0, duration))
            name = fault if fault.startswith('SIG') else 'SIGKILL'
            os.kill(pid, getattr(signal, name))
        code = wait(pid)
        damage(work_dir, fault)
        for _ in range(3):
            if not (again := wait(start(work_dir))):
                break
        total += 1
        ended[fault] += not again
        same = not again and all(
            torch.equal(value, expected[name])
            for name, value in weights(work_dir).items()
        )
        equal[fault] += same
        codes.setdefault(fault, Counter())[code] += 1
        left = list(work_dir.rglob('*.part'))
        if not same or left:
            print(
                f'run {run} ({fault}): exit code {code}, then {again}, '
                f'equal: {same}, left: {left}, see {work_dir}',
                flush=True,
            )
        else:
            shutil.rmtree(work_dir)
    print(
        f'{total} trainings of {duration:.1f} s in '
        f'{(time.monotonic() - begin) / 60:.0f} minutes, seed {args.seed}'
    )
    print(f'{"fault":25}{"runs":>5}{"ended":>7}{"equal":>7}  exit codes')
    for fault in FAULTS:
        if fault in codes:
            said = ', '.join(f'{c}: {n}' for c, n in codes[fault].items())
            print(
                f'{fault:25}{sum(codes[fault].values()):5}'
                f'{ended[fault]:7}{equal[fault]:7}  {said}'
            )
    if sum(equal.values()) < total:
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == '__main__':
    main()
