"""Check this package on the GPU of this machine, and leave a report.

    python tools/dev/gpu_check.py --wheels FOLDER   # a bare machine, offline
    python tools/dev/gpu_check.py                   # with what is installed
    python tools/dev/gpu_check.py --steps tests energy

FOLDER holds the wheels of what the machine lacks, and mmcv as source or as the
wheel that an earlier check left in its report. They go into an environment of
their own, which has the packages of the running Python as well.

Without a CUDA device this is a dry run: what needs one is named as skipped,
and the rest runs in small. The exit status says whether a step failed.
docs/install.md says how to use it. The standard library and torch are all that
this file needs.
"""

import argparse
import json
import os
import re
import shlex
import signal
import site
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/demo/fcos_vovnet27-slim_digits.py'
SHORT = (
    'train_cfg.max_epochs=1 train_dataloader.dataset.indices=8 '
    'val_dataloader.dataset.indices=4'
)
PEERS = 'V-39 V-39+memory_efficient V-39+with_cp timm:vovnet39a'
PROBE = """
import json, torch
gpus = [torch.cuda.get_device_properties(i)
        for i in range(torch.cuda.device_count())]
print(json.dumps(dict(torch=torch.__version__,
                      gpus=[gpu.name for gpu in gpus],
                      archs=[f'{gpu.major}.{gpu.minor}' for gpu in gpus])))
"""


@dataclass(frozen=True)
class Step:
    """A command, run by Python in the root of the repository.

    Attributes:
        name (str): Its name.
        seconds (int): Its time limit.
        command (str): The command. ``{out}`` is the report's folder,
            ``{device}`` 'cuda' or 'cpu'; ``{wheels}`` and ``{sdist}`` are what
            was given to install.
        cuda (str): What is added where there is a CUDA device.
        dry (str | None): What is added where there is none; None if the step
            makes no sense there.
    """

    name: str
    seconds: int
    command: str
    cuda: str = ''
    dry: str | None = ''


STEPS = (
    Step('machine', 60, '-m torch.utils.collect_env'),
    Step(
        'packages',
        60,
        '-m pip install --only-binary :all: --ignore-installed {wheels}',
    ),
    Step('mmcv', 480, 'tools/install_mmcv.py --cache {out}/mmcv {sdist}'),
    Step('stack', 60, 'tools/check_stack.py'),
    Step(
        'tests',
        270,
        '-m pytest -q -p no:cacheprovider tests/test_device',
        cuda='-m cuda',
        dry='-m "not slow"',
    ),
    Step(
        'training',
        120,
        f'-m mim train mmdet {CONFIG} --work-dir {{out}}/training '
        '--cfg-options overwrite=True',
        dry=SHORT,
    ),
    Step(
        'fp16',
        60,
        f'tools/train.py {CONFIG} --amp --work-dir {{out}}/fp16 '
        f'--cfg-options overwrite=True {SHORT}',
        dry=None,
    ),
    Step(
        'bf16',
        60,
        f'tools/train.py {CONFIG} --amp --work-dir {{out}}/bf16 '
        f'--cfg-options overwrite=True optim_wrapper.dtype=bfloat16 {SHORT}',
    ),
    Step(
        'several GPUs',
        60,
        '-m torch.distributed.run --standalone --nproc_per_node gpu '
        f'tools/train.py {CONFIG} --launcher pytorch '
        f'--work-dir {{out}}/distributed --cfg-options overwrite=True {SHORT}',
        dry=None,
    ),
    Step(
        'benchmark',
        120,
        'tools/benchmark.py --quick --device {device} --out {out}/benchmark',
        cuda='V-39 V-39+channels_last V-39+memory_efficient+channels_last '
        'timm:vovnet39a+channels_last --precision amp --batch 32',
        dry='V-27-slim --inference --batch 1 --size 32',
    ),
    Step(
        'memory',
        60,
        f'tools/benchmark.py {PEERS} timm:vovnet39a+checkpoint '
        '--memory --device cuda --out {out}/memory',
        dry=None,
    ),
    # The GPU waits for Python here: a step is as long as its calls take.
    Step(
        'host cost',
        60,
        f'tools/benchmark.py {PEERS} --batch 1 --size 64 --device cuda '
        '--out {out}/host_cost',
        dry=None,
    ),
    Step(
        'efficiency',
        90,
        'tools/paper.py efficiency --out {out}/paper '
        '--options device={device}',
        dry='size=96 rounds=1',
    ),
    Step(
        'energy',
        90,
        'tools/paper.py energy --out {out}/paper --options device={device}',
        dry='size=32 rounds=1 seconds=0.3',
    ),
)


@dataclass
class Outcome:
    """How a step ended: 'passed', 'failed', 'skipped' or 'interrupted'."""

    step: str
    result: str
    seconds: float = 0.0
    said: str = ''


class Check:
    """All that steps share.

    Args:
        out (Path): The report's folder. What an earlier check found there
            stays in the report, but for the steps that run again.
        wheels (Path, optional): Folder of what is to be installed.
    """

    def __init__(self, out: Path, wheels: Path | None = None) -> None:
        self.out = out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.wheels = wheels and wheels.resolve()
        self.python = sys.executable
        self.env = os.environ | {
            'PYTHONPATH': os.pathsep.join(
                filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])
            ),
            'PYTHONUNBUFFERED': '1',
        }
        if self.wheels:
            self.python = self._environment()
            self.env |= {
                'PIP_NO_INDEX': '1',
                'PIP_NO_DEPS': '1',  # the folder holds all that is missing
                'PIP_FIND_LINKS': self.wheels.as_uri(),
            }
        probe = subprocess.run(
            [self.python, '-c', PROBE], env=self.env, stdout=subprocess.PIPE
        )
        if probe.returncode:
            raise SystemExit(f'{self.python} has no torch that works')
        self.machine = json.loads(probe.stdout)
        self.device = 'cuda' if self.machine['gpus'] else 'cpu'
        if self.machine['archs']:
            archs = ' '.join(sorted(set(self.machine['archs'])))
            self.env.setdefault('TORCH_CUDA_ARCH_LIST', archs)
        results = self.out / 'results.json'
        found = json.loads(results.read_text()) if results.exists() else {}
        self.outcomes = {k: Outcome(**v) for k, v in found.items()}

    def _environment(self) -> str:
        """Make an environment that has the running one's packages too."""
        folder = self.out / 'venv'
        python = folder / 'bin' / 'python'
        if not python.exists():
            # Without pip, which Debian's venv lacks: the running one has it.
            venv.create(folder, symlinks=True)
            packages = next(folder.glob('lib/python*/site-packages'))
            lines = [
                f'import site; site.addsitedir({path!r})\n'
                for path in site.getsitepackages()
            ]
            (packages / 'running.pth').write_text(''.join(lines))
        return str(python)

    def run(self, step: Step) -> None:
        """Run a step, and write the report."""
        log = self.out / f'{step.name.replace(" ", "_")}.log'
        outcome = self.outcomes[step.name] = Outcome(step.name, 'interrupted')
        if reason := self._why_not(step):
            outcome.result, outcome.said = 'skipped', reason
            self.write()
            return
        start = time.monotonic()
        print(f'{step.name} ...', flush=True)
        try:
            with log.open('w') as file:
                code = self._call(list(self._arguments(step)), step, file)
            outcome.result = 'failed' if code else 'passed'
        except subprocess.TimeoutExpired:
            outcome.result = 'failed'
            with log.open('a') as file:
                file.write(f'\nstopped after {step.seconds} s, its limit\n')
        finally:
            outcome.seconds = round(time.monotonic() - start, 1)
            outcome.said = last_line(log)
            self.write()
        print(f'{step.name}: {outcome.result}, {outcome.said}', flush=True)

    def _why_not(self, step: Step) -> str:
        if self.device == 'cpu' and step.dry is None:
            return 'needs a CUDA device'
        given = self.wheels and packages(self.wheels)
        if '{wheels}' in step.command and not given:
            return 'no wheels were given'
        return ''

    def _arguments(self, step: Step) -> Iterator[str]:
        yield self.python
        options = step.cuda if self.device == 'cuda' else step.dry
        for word in shlex.split(f'{step.command} {options}'):
            if word == '{wheels}':
                yield from packages(self.wheels)
            elif word == '{sdist}':
                found = self.wheels and list(self.wheels.glob('mmcv-*.tar.gz'))
                yield from ('--sdist', str(found[0])) if found else ()
            else:
                yield word.format(out=self.out, device=self.device)

    def _call(self, command: list[str], step: Step, log) -> int:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(step.seconds)
        finally:  # and with it all that it has started
            for kind in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, kind)
                    process.wait(5)
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue

    def write(self) -> None:
        """Write results.json and report.md, each whole."""
        found = {k: asdict(v) for k, v in self.outcomes.items()}
        replace(self.out / 'results.json', json.dumps(found, indent=1))
        gpus = ', '.join(self.machine['gpus'])
        lines = [
            '# GPU check\n',
            f'{gpus or "No CUDA device, so a dry run"}; torch '
            f'{self.machine["torch"]}; {os.cpu_count()} cores. More in '
            '[machine.log](machine.log).\n',
            '| step | result | s | its last line |',
            '|---|---|--:|---|',
        ]
        for step in STEPS:
            one = self.outcomes.get(step.name, Outcome(step.name, 'not run'))
            log = f'{step.name.replace(" ", "_")}.log'
            ran = (self.out / log).exists()
            name = f'[{step.name}]({log})' if ran else step.name
            said = one.said.replace('|', r'\|')
            lines.append(f'| {name} | {one.result} | {one.seconds} | {said} |')
        pages = sorted(
            path.relative_to(self.out)
            for folder in ('benchmark', 'memory', 'host_cost', 'paper')
            for path in self.out.glob(f'{folder}/*.md')
        )
        lines += ['', *(f'- [{page.stem}]({page})' for page in pages)]
        replace(self.out / 'report.md', '\n'.join(lines) + '\n')


def packages(wheels: Path) -> list[str]:
    """What pip is told to install from a folder; mmcv only if it can.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     for wheel in ('a-1-py3-none-any', 'mmcv-2-cp27-cp27-linux'):
        ...         Path(name, f'{wheel}.whl').touch()
        ...     packages(Path(name))
        ['a']
    """
    names = {path.name.split('-')[0] for path in wheels.glob('*.whl')}
    tag = 'cp{}{}'.format(*sys.version_info)
    mmcv = [str(path) for path in wheels.glob(f'mmcv-*-{tag}-*.whl')]
    return sorted(names - {'mmcv'}) + mmcv[:1]


def last_line(log: Path) -> str:
    """The last line of a log that says something, without colours."""
    text = re.sub(r'\x1b\[[\d;]*m', '', log.read_text(errors='replace'))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-120:] if lines else ''


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix('.part')
    part.write_text(text)
    part.replace(path)


def interrupt(*_: object) -> None:
    """End as Ctrl-C does, and let nothing disturb that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def select(names: Iterable[str]) -> list[Step]:
    """The steps of these names, in their order; all if there is none."""
    return [step for step in STEPS if not names or step.name in names]


def main() -> int:
    """Run the steps."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--wheels', type=Path)
    parser.add_argument('--out', type=Path, default='work_dirs/gpu_check')
    parser.add_argument(
        '--steps',
        nargs='+',
        choices=[step.name for step in STEPS],
        default=[],
        help='default: all',
    )
    args = parser.parse_args()
    if args.wheels and not args.wheels.is_dir():
        parser.error(f'--wheels {args.wheels} is not a folder')
    check = Check(args.out, args.wheels)
    check.write()
    signal.signal(signal.SIGTERM, interrupt)
    chosen = select(args.steps)
    try:
        for step in chosen:
            check.run(step)
    except KeyboardInterrupt:
        check.write()
        print(f'interrupted; {check.out}/report.md', file=sys.stderr)
        return 143
    print(f'\n{(check.out / "report.md").read_text()}\n{check.out}/report.md')
    results = [check.outcomes[step.name].result for step in chosen]
    return int('failed' in results)


if __name__ == '__main__':
    sys.exit(main())
