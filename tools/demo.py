"""Train FCOS with VoVNet-27-slim on the demo data and draw the result.

python tools/demo.py
python tools/demo.py --quick   # the same steps on 24 images, untrained
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

CONFIG = 'configs/demo/fcos_vovnet27-slim_digits.py'
VALIDATION = 'data/digits/val'
NUM_IMAGES = 8
MIN_SCORE = 0.2
TARGET = 0.5
PLAN = """\
1. train FCOS with VoVNet-27-slim from scratch, on digits that are drawn first:
   minutes on two cores, fewer where the CPU has bfloat16
2. draw its curves and what it detects, and write it as one file: {work_dir}
"""
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
    work_dir = Path('work_dirs', 'demo_quick' if args.quick else 'demo')
    print(PLAN.format(work_dir=work_dir), flush=True)
    # Not before: these take seconds to import.
    from mmengine.device import get_device

    from mmvovnet.analysis.plots import plot_curves, read_scalars
    from mmvovnet.deploy.publish import publish
    from mmvovnet.processor import has_bfloat16

    start = time.monotonic()
    command = [sys.executable, 'tools/train.py', CONFIG]
    command += ['--work-dir', str(work_dir)]
    command += ['--amp'] * (get_device() == 'cpu' and has_bfloat16())
    command += ['--cfg-options', 'overwrite=True']
    if args.quick:
        command += QUICK
    train(command, work_dir, 6 if args.quick else 750)
    trained = time.monotonic()

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
        f'\nCOCO mAP {final:.3f} on held-out images; training '
        f'{trained - start:.0f} s, pictures {time.monotonic() - trained:.0f} '
        's\n'
        f'detections beside the truth: {work_dir / "detections.png"}\n'
        f'loss and mAP over training:  {work_dir / "curves.png"}\n'
        f'the detector as one file:    {published}\n'
        f'try it: python tools/detect.py {VALIDATION} --model {published}'
    )
    if final < TARGET and not args.quick:
        sys.exit(f'mAP {final:.3f} is below {TARGET}: the demo has failed.')


def train(command: list[str], work_dir: Path, steps: int) -> None:
    """Train, with a bar; what the training says is in a file."""
    from rich.progress import Progress, TimeElapsedColumn

    work_dir.mkdir(parents=True, exist_ok=True)
    log = work_dir / 'training.txt'
    begin = time.time()
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with log.open('w') as file, Progress(*columns) as bar:
        task = bar.add_task('training', total=steps)
        process = subprocess.Popen(command, stdout=file, stderr=file)
        while process.poll() is None:
            time.sleep(0.5)
            for path in work_dir.glob('*/vis_data/scalars.json'):
                if path.stat().st_mtime > begin:
                    last = re.findall(r'"step": (\d+)', path.read_text())
                    # Validation counts its own steps.
                    bar.update(task, completed=max(map(int, last), default=0))
        if process.returncode == 0:
            bar.update(task, completed=steps)
    if process.returncode:
        sys.exit(f'{log.read_text()}\nThe training failed: see above.')


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
