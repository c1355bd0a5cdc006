import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]
TOOL = ROOT / 'tools' / 'dev' / 'gpu_check.py'
spec = importlib.util.spec_from_file_location('gpu_check', TOOL)
gpu_check = importlib.util.module_from_spec(spec)
sys.modules['gpu_check'] = gpu_check  # for dataclasses
spec.loader.exec_module(gpu_check)
Step = gpu_check.Step


NO_GPU = 'print(\'{"torch": "2", "gpus": [], "archs": []}\')'


def test_ends_in_28_minutes():
    assert sum(step.seconds for step in gpu_check.STEPS) < 28 * 60
    names = [step.name for step in gpu_check.STEPS]
    assert len(set(names)) == len(names)


def test_tools_and_options_exist():
    for step in gpu_check.STEPS:
        first = step.command.split()[0]
        assert first == '-m' or (ROOT / first).exists()
    assert (ROOT / gpu_check.CONFIG).exists()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='runs it in earnest')
def test_dry_run(tmp_path):
    """The smallest steps, as the command line runs them."""
    steps = ['packages', 'benchmark', 'memory', 'energy']
    done = subprocess.run(
        [sys.executable, TOOL, '--out', tmp_path, '--steps', *steps],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / 'results.json').read_text())
    assert {name: one['result'] for name, one in results.items()} == {
        'packages': 'skipped',
        'benchmark': 'passed',
        'memory': 'skipped',
        'energy': 'passed',
    }
    assert results['memory']['said'] == 'needs a CUDA device'
    report = (tmp_path / 'report.md').read_text()
    assert report in done.stdout
    assert 'No CUDA device, so a dry run' in report
    assert '| tests | not run | 0.0 |  |' in report
    for page in ('benchmark/benchmark.md', 'paper/energy.md'):
        assert f'({page})' in report and (tmp_path / page).exists()
    assert '| V-27-slim |' in (tmp_path / 'benchmark.log').read_text()


def test_failures_and_limits_do_not_stop_the_rest(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_check, 'PROBE', NO_GPU)
    check = gpu_check.Check(tmp_path)
    child = 'import subprocess; subprocess.run(["sleep", "60"])'
    start = time.monotonic()
    check.run(Step('fails', 9, '-c \'raise SystemExit("no | luck")\''))
    check.run(Step('hangs', 1, f"-c '{child}'"))
    check.run(Step('works', 9, '-c \'print("fine")\''))
    assert time.monotonic() - start < 15
    found = {k: (v.result, v.said) for k, v in check.outcomes.items()}
    assert found == {
        'fails': ('failed', 'no | luck'),
        'hangs': ('failed', 'stopped after 1 s, its limit'),
        'works': ('passed', 'fine'),
    }
    again = gpu_check.Check(tmp_path)  # a later call of other steps
    assert again.outcomes == check.outcomes


def test_sigterm_leaves_a_whole_report(tmp_path):
    program = (
        f'import sys; sys.path.insert(0, {str(TOOL.parent)!r}); '
        f'import gpu_check as g; g.PROBE = {NO_GPU!r}; '
        'g.STEPS = (g.Step("ends", 9, "-c pass"), '
        'g.Step("stays", 60, "-c __import__(\'time\').sleep(60)"), '
        'g.Step("waits", 9, "-c pass")); '
        'sys.exit(g.main())'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', program, '--out', tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith('stays'):
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    report = (tmp_path / 'report.md').read_text()
    assert '[ends](ends.log) | passed' in report
    # Its log is linked if the signal came after it was opened.
    (stays,) = (line for line in report.splitlines() if 'stays' in line)
    assert '| interrupted |' in stays
    assert '| waits | not run' in report


def test_environment_sees_the_running_one(tmp_path):
    wheels = tmp_path / 'wheels'
    wheels.mkdir()
    check = gpu_check.Check(tmp_path / 'out', wheels)
    assert check.env['PIP_NO_INDEX'] == check.env['PIP_NO_DEPS'] == '1'
    assert check.machine['torch'] == torch.__version__
    code = 'import sys, pip; print(sys.prefix)'
    done = subprocess.run(
        [check.python, '-c', code], env=check.env, capture_output=True
    )
    assert os.fsdecode(done.stdout).strip() == str(tmp_path / 'out' / 'venv')
