"""Rename a VoVNet's weights for another code base.

``python tools/convert_checkpoint.py SRC DST --to timm`` reads a checkpoint of
any dialect, as every config of this package does without conversion, and
writes a state dict.
"""

import argparse
from pathlib import Path

NAMES = (
    'mmvovnet',
    'torchvision',
    'detectron2',
    'maskrcnn-benchmark',
    'mmdet3d',
    'timm',
    'pytorchcv',
    'vision-toolbox',
)


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('src', help='checkpoint, .pth or .safetensors')
    parser.add_argument(
        'dst',
        help='file to write, .safetensors by its ending; with --to timm also '
        'a folder, for config.json and model.safetensors as on the Hugging '
        'Face hub',
    )
    parser.add_argument(
        '--to', choices=NAMES, default=NAMES[0], help='code to convert to'
    )
    args = parser.parse_args()
    # Not before: these take seconds to import.
    from mmvovnet.weights import CheckpointError, convert_file
    from mmvovnet.weights.convert import write_hub_folder

    try:
        if args.to == 'timm' and not Path(args.dst).suffix:
            written = write_hub_folder(args.src, args.dst)
        else:
            written = convert_file(args.src, args.dst, args.to)
    except (CheckpointError, ImportError, OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    for path in written:
        print(f'{path} ({path.stat().st_size / 1e6:.1f} MB, {args.to})')


if __name__ == '__main__':
    main()
