import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / 'tools'
# Runs in a process of its own, and says what a tool has imported when it has
# read its arguments.
CODE = """
import runpy
import sys
from contextlib import redirect_stdout, redirect_stderr, suppress

sys.path.insert(0, sys.argv[1])
for path in sys.argv[2:]:
    for argument in ('--help', '--no-such-argument'):
        sys.argv = [path, argument]
        with redirect_stdout(None), redirect_stderr(None):
            try:
                runpy.run_path(path, run_name='__main__')
            except SystemExit as done:
                assert done.code == 2 * (argument != '--help'), path
            else:
                raise AssertionError(path)
    heavy = {'matplotlib', 'mmcv', 'mmengine', 'numpy', 'torch'}
    assert not heavy & sys.modules.keys(), (path, heavy & sys.modules.keys())
"""


def test_tools_read_their_arguments_before_heavy_imports():
    tools = map(str, sorted(TOOLS.glob('*.py')))
    command = [sys.executable, '-c', CODE, str(TOOLS), *tools]
    done = subprocess.run(command, text=True, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
