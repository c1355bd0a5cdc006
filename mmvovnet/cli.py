"""The command ``mmvovnet``: the tools, without a clone."""

import runpy
import sys
from pathlib import Path

COMMANDS = {
    'detect': 'detect.py',
    'export': 'export.py',
    'convert': 'convert_checkpoint.py',
    'check': 'check_stack.py',
    'swap': 'swap.py',
}


def tools() -> Path:
    """The folder of the tools: of the clone, or of the installed package."""
    package = Path(__file__).parent
    clone = package.parent / 'tools'
    is_clone = (package.parent / 'pyproject.toml').is_file()
    return clone if is_clone else package / '.mim' / 'tools'


def main() -> None:
    """Run ``mmvovnet COMMAND ARGUMENTS...``."""
    command = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if command not in COMMANDS:
        print(
            f'usage: mmvovnet {{{",".join(COMMANDS)}}} ...\n'
            '`mmvovnet COMMAND --help` says what each takes',
            file=sys.stdout if command in ('-h', '--help') else sys.stderr,
        )
        sys.exit(command not in ('-h', '--help') and 2)
    path = str(tools() / COMMANDS[command])
    tool = runpy.run_path(path)
    sys.argv = [f'mmvovnet {command}', *sys.argv[2:]]
    sys.exit(tool['main']())
