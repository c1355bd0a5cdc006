"""Rename a VoVNet's weights for another code.

``python tools/convert_checkpoint.py SRC DST --to timm`` reads a checkpoint of
any dialect, as every config of this package does without conversion, and
writes a state dict.
"""

import argparse

from mmvovnet.checkpoint import CheckpointError, convert_file
from mmvovnet.checkpoint.convert import NAMES


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('src', help='checkpoint, .pth or .safetensors')
    parser.add_argument(
        'dst', help='file to write; .safetensors by its ending'
    )
    parser.add_argument(
        '--to', choices=NAMES, default=NAMES[0], help='code to convert to'
    )
    args = parser.parse_args()
    try:
        convert_file(args.src, args.dst, args.to)
    except (CheckpointError, OSError) as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main()
