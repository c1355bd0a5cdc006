"""Write a trained model as one file: ``tools/publish_model.py CKPT OUT``.

The optimizer's state and the logs are left out, and the file is named by its
hash: OUT-0123abcd.pth. ``tools/detect.py`` takes that of a detector without a
config.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(
        description='Write a trained model as one file'
    )
    parser.add_argument('checkpoint', help='of a training')
    parser.add_argument('out', help="beginning of the file's name")
    parser.add_argument(
        '--config', help='default: the one in the folder of the checkpoint'
    )
    args = parser.parse_args()
    for path in filter(None, (args.checkpoint, args.config)):
        if not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    return args


def main() -> None:
    """Publish, and say where the file is."""
    args = parse_args()
    # Not before: these take seconds to import.
    from mmvovnet.deploy.publish import publish
    from mmvovnet.engine import find_config
    from mmvovnet.engine.known_warnings import ignore_known_warnings
    from mmvovnet.weights import CheckpointError

    ignore_known_warnings()

    try:
        config = args.config or find_config(Path(args.checkpoint).parent)
        path = publish(config, args.checkpoint, args.out)
    except (CheckpointError, OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    print(f'{path} ({path.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
