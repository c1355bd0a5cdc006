"""Report on one screen what a checkpoint does in a config's model.

``python tools/check_checkpoint.py CONFIG FILE`` says what was used, left out
and missing, which images the weights expect and which they get, and what the
backbone's stages make of a batch. It ends with 1 if something is wrong.
"""

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('config', help='a config file')
    parser.add_argument('checkpoint', help='a checkpoint file')
    parser.add_argument(
        '--image', help='an image for the batch; a random one without it'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE'
    )
    args = parser.parse_args()
    for path in filter(None, (args.config, args.checkpoint, args.image)):
        if '://' not in path and not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    # Not before: these take seconds to import.
    from mmvovnet.analysis.checkpoint import diagnose
    from mmvovnet.engine import load_config
    from mmvovnet.engine.known_warnings import ignore_known_warnings

    ignore_known_warnings()
    cfg = load_config(args.config, args.cfg_options)
    try:
        report = diagnose(cfg, args.checkpoint, args.image)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    print(report)
    return bool(report.problems)


if __name__ == '__main__':
    sys.exit(main())
