"""Test a detector or classifier: ``python tools/test.py CONFIG CHECKPOINT``.

The flags are those of MMDetection's ``tools/test.py``, and ``--fuse``,
``--accelerate`` and ``--may-miss``. The config's ``default_scope`` says whose
models it names. An exported detector may stand in for the checkpoint.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

TTA_MODELS = {
    'mmdet': dict(
        type='DetTTAModel',
        tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
    ),
    'mmpretrain': dict(type='AverageClsScoreTTA'),
}


def parse_args() -> argparse.Namespace:
    """Read the command line, and refuse a mistyped path at once."""
    parser = argparse.ArgumentParser(description='Test a model')
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        'checkpoint', help='path or URL of the checkpoint, or exported file'
    )
    parser.add_argument('--work-dir', help='folder for logs and metrics')
    parser.add_argument('--out', help='.pkl file for the predictions')
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        '--fuse',
        action='store_true',
        help='fold batch norms into convs first, as mmvovnet.deploy.fuse does',
    )
    forms.add_argument(
        '--accelerate',
        action='store_true',
        help='on a CPU: fold, and use the kernels of mmvovnet.deploy',
    )
    parser.add_argument(
        '--show', action='store_true', help='show the predictions'
    )
    parser.add_argument('--show-dir', help='folder for painted images')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds to show each'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation, by the config's tta_model and "
        'tta_pipeline; without them both ways round. The default work dir is '
        'the folder tta in that of the config',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='change the config, e.g. test_dataloader.batch_size=4',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed run',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    parser.add_argument(
        '--may-miss',
        nargs='+',
        default=[],
        metavar='PART',
        help='parts that the checkpoint need not hold, e.g. bbox_head',
    )
    args = parser.parse_args()
    for path in (args.config, args.checkpoint):
        if '://' not in path and not Path(path).is_file():
            parser.error(f"there is no file '{path}'")
    if args.out and Path(args.out).suffix not in ('.pkl', '.pickle'):
        parser.error(f"--out is a .pkl file, not '{args.out}'")
    # Not before: mistyped paths are refused without any import.
    from mmvovnet.deploy import SUFFIXES

    args.exported = Path(args.checkpoint).suffix in SUFFIXES.values()
    if args.exported and (args.fuse or args.accelerate or args.tta):
        parser.error(
            'an exported file runs as it is: leave --fuse, --accelerate and '
            '--tta out'
        )
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def augment(cfg: Any) -> None:
    """Put the model into the one for test-time augmentation.

    Without the config's ``tta_model`` and ``tta_pipeline``: both ways round,
    as MMDetection and MMPretrain do it.
    """
    from mmvovnet.tasks import leaves, require

    kind = require(cfg, tuple(TTA_MODELS), '--tta')
    roi_head = cfg.model.get('roi_head') or {}
    if 'mask_head' in cfg.model or 'mask_head' in roi_head:
        raise ValueError(
            f"--tta merges boxes, and '{cfg.filename}' has a mask head: test "
            'it without --tta'
        )
    datasets = list(leaves(cfg.test_dataloader.dataset))
    for dataset in datasets[1:]:
        if dataset.pipeline != datasets[0].pipeline:
            raise ValueError(
                f"--tta needs one test pipeline, and '{cfg.filename}' has "
                'another for each data set'
            )
    *steps, pack = datasets[0].pipeline
    both = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    if 'meta_keys' in pack:
        # What is added says how to turn the boxes back.
        keys = {*pack.meta_keys, 'flip', 'flip_direction'}
        pack = dict(pack, meta_keys=sorted(keys))
    flips = dict(type='TestTimeAug', transforms=[both, [pack]])
    for dataset in datasets:
        dataset.pipeline = cfg.get('tta_pipeline', [*steps, flips])
    cfg.model = dict(cfg.get('tta_model', TTA_MODELS[kind]), module=cfg.model)


def best_score(score_thr: float) -> Any:
    """A hook that says so if no score of a test reaches the pictures'."""
    from mmengine.hooks import Hook

    class BestScore(Hook):
        best = 0.0

        def after_test_iter(
            self, runner: Any, batch_idx: int, data_batch: Any, outputs: Any
        ) -> None:
            for sample in outputs:
                scores = sample.pred_instances.scores.tolist()
                self.best = max(self.best, *scores, 0)

        def after_test_epoch(self, runner: Any, metrics: Any = None) -> None:
            if self.best < score_thr:
                runner.logger.warning(
                    f'the pictures show 0 objects: the best score is '
                    f'{self.best:.3f}, below score_thr={score_thr:g} of '
                    'default_hooks.visualization'
                )

    return BestScore()


def replace_model(transform: Callable) -> Any:
    """A hook that tests what ``transform`` makes of the loaded model."""
    from mmengine.hooks import Hook
    from mmengine.model import is_model_wrapper

    class ReplaceModel(Hook):
        priority = 'VERY_LOW'

        def before_test(self, runner: Any) -> None:
            model = runner.model
            if is_model_wrapper(model):  # a test synchronises no gradients
                model = model.module
            runner.model = transform(model.eval())

    return ReplaceModel()


def main() -> None:
    """Test what the config describes."""
    args = parse_args()
    # Not before: these take seconds to import.
    from mmengine.registry import METRICS, RUNNERS

    from mmvovnet.engine import load_config
    from mmvovnet.engine.known_warnings import ignore_known_warnings
    from mmvovnet.fileio import keep_apart

    ignore_known_warnings()
    try:
        keep_apart(filter(None, [args.out]), [args.config, args.checkpoint])
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    cfg = load_config(
        args.config, args.cfg_options, args.work_dir, args.launcher
    )
    if args.may_miss:
        cfg.may_miss = args.may_miss
    detector = cfg.get('default_scope') == 'mmdet'
    if not args.exported:
        cfg.load_from = args.checkpoint
    elif not detector:
        raise ValueError(
            f"'{args.checkpoint}' is an exported file, of which detectors "
            'can be tested'
        )
    if args.show or args.show_dir:
        hook = cfg.get('default_hooks', {}).get('visualization')
        if hook is None:
            raise ValueError(
                f"'{args.config}' has no default_hooks.visualization, which "
                '--show and --show-dir switch on: add it'
            )
        hook.update(show=args.show, wait_time=args.wait_time)
        if cfg.get('default_scope') == 'mmseg':  # it draws into its work dir
            hook.update(draw=True, interval=1)
            if args.show_dir:
                cfg.visualizer.save_dir = args.show_dir
        elif detector:
            hook.update(draw=True, test_out_dir=args.show_dir)
        else:
            hook.update(enable=True, out_dir=args.show_dir, interval=1)
    if args.tta:
        augment(cfg)
        if not args.work_dir:  # the runner writes its config there
            cfg.work_dir = str(Path(cfg.work_dir, 'tta'))
    runner = RUNNERS.build(cfg)
    if args.show_dir and detector:
        runner.register_hook(best_score(hook.get('score_thr', 0.3)))
    if args.out:
        kind = 'DumpDetResults' if detector else 'DumpResults'
        dump = METRICS.build(dict(type=kind, out_file_path=args.out))
        runner.test_evaluator.metrics.append(dump)
    if args.exported:
        from mmvovnet.deploy import load_exported
        from mmvovnet.deploy.inference.detector import Detector
        from mmvovnet.deploy.inference.models import FileDetector

        file = FileDetector(Detector(load_exported(args.checkpoint)))
        runner.register_hook(replace_model(lambda model: file))
    elif args.fuse or args.accelerate:
        from mmvovnet.deploy import accelerate, fuse

        transform = accelerate if args.accelerate else fuse
        runner.register_hook(replace_model(transform))
    runner.test()


if __name__ == '__main__':
    main()
