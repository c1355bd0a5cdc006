"""Train a detector or classifier: ``python tools/train.py CONFIG``.

The flags are those of MMDetection's and MMPretrain's own ``tools/train.py``;
the ``default_scope`` of the config says whose models it names.
"""

import argparse
import os
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to resume from; alone: the last of the work dir',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train with mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='only train'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='change the config, e.g. model.backbone.arch=V-57',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed run',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    for path in filter(None, (args.config, args.resume)):
        if path != 'auto' and '://' not in path and not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    """Train what the config describes."""
    args = parse_args()
    # Not before: these take seconds to import.
    from mmengine.registry import RUNNERS

    from mmvovnet.engine import load_config
    from mmvovnet.engine.known_warnings import ignore_known_warnings

    ignore_known_warnings()
    cfg = load_config(
        args.config, args.cfg_options, args.work_dir, args.launcher
    )
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f"'{args.config}' has no auto_scale_lr.base_batch_size, the "
                'batch size that its learning rate is for: add it, or leave '
                'out --auto-scale-lr'
            )
        cfg.auto_scale_lr.enable = True
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    RUNNERS.build(cfg).train()


if __name__ == '__main__':
    main()
