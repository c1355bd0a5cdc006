"""Report on one screen what a checkpoint does in a config's model.

``python tools/check_checkpoint.py CONFIG FILE`` says what was used, left out
and missing, which images the weights expect and which they get, and what the
backbone's stages make of a batch. It ends with 1 if something is wrong.
"""

import argparse
import sys

from mmengine.config import Config, DictAction

import mmvovnet.engine  # noqa: F401, reads checkpoints of any origin
from mmvovnet.engine.known_warnings import ignore_known_warnings
from mmvovnet.weights.check import check


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('config', help='a config file')
    parser.add_argument('checkpoint', help='a checkpoint file')
    parser.add_argument(
        '--image', help='an image for the batch; a random one without it'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}
    )
    args = parser.parse_args()
    ignore_known_warnings()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    report = check(cfg, args.checkpoint, args.image)
    print(report)
    return bool(report.problems)


if __name__ == '__main__':
    sys.exit(main())
