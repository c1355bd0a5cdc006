"""Train FCOS with VoVNet-27-slim on the demo data and draw the result.

python tools/demo.py
python tools/demo.py --quick   # the same steps on 24 images, untrained
"""

import argparse
import re
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

CONFIG = 'configs/demo/fcos_vovnet27-slim_digits.py'
VALIDATION = 'data/digits/val'
NUM_IMAGES = 8
MIN_SCORE = 0.2
TARGET = 0.5
# Bright ones, which photographs seldom have.
COLOURS = ('dodgerblue', 'orange', 'lime', 'red', 'violet', 'yellow',
           'deeppink', 'cyan', 'springgreen', 'coral')  # fmt: skip
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
    from matplotlib.figure import Figure
    from mmengine.device import get_device

    from mmvovnet.analysis.workdir import draw_curves
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

    curves = Figure(figsize=(12, 5), layout='constrained')
    _, scores = draw_curves(curves, work_dir)
    curves.savefig(work_dir / 'curves.png', dpi=100)
    draw_detections(work_dir)
    published = publish(
        CONFIG,
        (work_dir / 'last_checkpoint').read_text().strip(),
        work_dir / 'fcos_vovnet27-slim_digits',
    )
    # Where nothing is found, there is no score.
    final = [0.0, *scores.get('coco/bbox_mAP', {}).values()][-1]
    print(
        f'\nCOCO mAP {final:.3f} on held-out images; training '
        f'{trained - start:.0f} s, pictures {time.monotonic() - trained:.0f} '
        's\n'
        f'truth and detections:       {work_dir / "detections.png"}\n'
        f'loss and mAP over training: {work_dir / "curves.png"}\n'
        f'the detector as one file:   {published}\n'
        f'try it: python tools/detect.py {VALIDATION} --model {published}'
    )
    if final < TARGET and not args.quick:
        sys.exit(f'mAP {final:.3f} is below {TARGET}: the demo has failed.')


def train(command: list[str], work_dir: Path, steps: int) -> None:
    """Train, with a progress bar; the training's output goes to a file."""
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


def plot_detections(
    images: list, truths: list, detections: list, out: Path
) -> None:
    """Draw each image with its truth and, next to it, with its detections.

    Args:
        images: RGB images, uint8 of shape (H, W, 3).
        truths: Per image, boxes (N, 4) as x1, y1, x2, y2 in pixels and the
            N class names.
        detections: The same for the detections.
        out: Image file to write.
    """
    from matplotlib.figure import Figure

    rows = -(-len(images) // 2)
    height, width = images[0].shape[:2]
    figure = Figure((13, 13 / 4 * rows * height / width + 0.4), dpi=110)
    axes = figure.subplots(rows, 4, squeeze=False).reshape(-1, 2)
    top = 1 - 0.4 / figure.get_figheight()
    figure.subplots_adjust(0.01, 0.01, 0.99, top, 0.03, 0.06)
    for ax in axes.flat:
        ax.axis('off')
    for ax, title in zip(
        axes[:2].flat, ('truth', 'detections') * 2, strict=True
    ):
        ax.set_title(title, pad=12)
    names = sorted({name for _, labels in truths for name in labels})
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    for pair, image, *annotated in zip(
        axes, images, truths, detections, strict=False
    ):
        for ax, (boxes, labels) in zip(pair, annotated, strict=True):
            ax.imshow(image)
            for box, label in zip(boxes, labels, strict=True):
                draw_object(ax, box, label, colours.get(label, 'white'))
    figure.savefig(out)


def draw_object(ax: Any, box: Any, label: str, colour: str) -> None:
    """Draw a box with its name above its corner."""
    from mmvovnet.analysis.visualize import draw_box

    draw_box(ax, box, color=colour)
    ax.text(
        *box[:2],
        label,
        fontsize=8,
        color='black',
        va='bottom',
        bbox=dict(facecolor=colour, edgecolor='none', pad=1),
    )


if __name__ == '__main__':
    main()
