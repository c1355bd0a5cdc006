"""Train FCOS with VoVNet-27-slim on the demo data and draw the result.

python tools/demo.py
python tools/demo.py --quick   # the same steps on 24 images, untrained
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

CONFIG = 'configs/demo/fcos_vovnet27-slim_digits.py'
VALIDATION = 'data/digits/val'
NUM_IMAGES = 8
MIN_SCORE = 0.2
TARGET = 0.5
QUICK = (
    'train_cfg.max_epochs=1',
    'train_dataloader.dataset.indices=24',
    'val_dataloader.dataset.indices=8',
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--quick', action='store_true')
    return parser.parse_args()


def main() -> None:
    """Run the demo from the root of the repository."""
    args = parse_args()
    # Not before: these take seconds to import.
    from mmvovnet.analysis.plots import plot_curves, read_scalars
    from mmvovnet.deploy.publish import publish

    start = time.monotonic()
    work_dir = Path('work_dirs', 'demo_quick' if args.quick else 'demo')
    command = [sys.executable, '-m', 'mim', 'train', 'mmdet', CONFIG]
    command += ['--work-dir', str(work_dir)]
    command += ['--cfg-options', 'overwrite=True']
    if args.quick:
        command += QUICK
    env = os.environ | {'PYTHONWARNINGS': 'ignore:pkg_resources is deprecated'}
    if subprocess.call(command, env=env):
        sys.exit('The training failed: see the first error above.')

    scalars = max(work_dir.glob('*/vis_data/scalars.json'))
    losses, scores = read_scalars(scalars)
    plot_curves(losses, scores, work_dir / 'curves.png')
    draw_detections(work_dir)
    published = publish(
        CONFIG,
        (work_dir / 'last_checkpoint').read_text().strip(),
        work_dir / 'fcos_vovnet27-slim_digits',
    )
    final = scores[-1, 1] if len(scores) else 0.0  # nothing was found
    print(
        f'\nCOCO mAP {final:.3f} on held-out images, '
        f'in {time.monotonic() - start:.0f} s\n'
        f'truth and detections: {work_dir / "detections.png"}\n'
        f'loss and mAP over training:  {work_dir / "curves.png"}\n'
        f'the detector as one file:    {published}\n'
        f'try it: python tools/detect.py {VALIDATION} --model {published}'
    )
    if final < TARGET and not args.quick:
        sys.exit(f'mAP {final:.3f} is below {TARGET}: the demo has failed.')


def draw_detections(work_dir: Path) -> None:
    """Detect on the first held-out images with the last checkpoint."""
    import mmcv
    from mmdet.apis import inference_detector, init_detector
    from mmengine.config import Config
    from mmengine.device import get_device
    from mmengine.registry import DATASETS

    import mmvovnet.engine  # noqa: F401
    from mmvovnet.analysis.plots import plot_detections

    config = Config.fromfile(CONFIG)
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    model = init_detector(config, checkpoint, device=get_device())
    dataset = DATASETS.build(config.val_dataloader.dataset)
    classes = dataset.metainfo['classes']
    images, truths, detections = [], [], []
    for i in range(NUM_IMAGES):
        info = dataset.get_data_info(i)
        images.append(mmcv.imread(info['img_path'], channel_order='rgb'))
        truth = info['instances']
        truths.append(
            (
                [instance['bbox'] for instance in truth],
                [classes[instance['bbox_label']] for instance in truth],
            )
        )
        found = inference_detector(model, info['img_path']).pred_instances
        found = found[found.scores >= MIN_SCORE].cpu().numpy()
        detections.append(
            (found.bboxes, [classes[label] for label in found.labels])
        )
    plot_detections(images, truths, detections, work_dir / 'detections.png')


if __name__ == '__main__':
    main()
