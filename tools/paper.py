"""Check a claim of the VoVNet papers on this machine.

    python tools/paper.py memory_access
    python tools/paper.py efficiency --options size=224 device=cuda

Writes CLAIM.md, CLAIM.csv and CLAIM.png: figures, picture and verdict.
"""

import argparse
import shlex
import sys
from pathlib import Path

from paper import CLAIMS, check


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    claims = '\n'.join(f'  {name:15} {text}' for name, text in CLAIMS.items())
    parser = argparse.ArgumentParser(
        description=f'{__doc__}\nclaims:\n{claims}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('claim', choices=CLAIMS, metavar='CLAIM')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/paper'))
    parser.add_argument(
        '--options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help="the claim's own: arguments of its function `check` in "
        'tools/paper',
    )
    return parser.parse_args()


def main() -> None:
    """Check, and write what was found."""
    args = parse_args()
    # Not before: this takes seconds to import.
    from mmvovnet.engine.config import parse_options

    try:
        options = parse_options(args.options)
        result = check(args.claim, args.out, **options)
    except ValueError as error:
        sys.exit(f'{error}')
    command = shlex.join(['python', 'tools/paper.py', *sys.argv[1:]])
    paths = result.write(args.out, args.claim, command)
    print(paths[0].read_text())
    print(f'Written to {", ".join(map(str, paths))}')


if __name__ == '__main__':
    main()
