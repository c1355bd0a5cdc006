"""Train FCOS with VoVNet-27-slim on the demo data and draw the result."""

import subprocess
import sys
import time
from pathlib import Path

import mmcv
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DATASETS

import mmvovnet.engine  # noqa: F401
from mmvovnet.analysis.plots import plot_curves, plot_detections, read_scalars

CONFIG = 'configs/demo/fcos_vovnet27-slim_digits.py'
WORK_DIR = Path('work_dirs/demo')
NUM_IMAGES = 8
MIN_SCORE = 0.2
TARGET = 0.5


def main() -> None:
    """Run the demo from the root of the repository."""
    start = time.monotonic()
    command = [sys.executable, '-m', 'mim', 'train', 'mmdet', CONFIG]
    command += ['--work-dir', str(WORK_DIR)]
    if subprocess.call([*command, '--cfg-options', 'overwrite=True']):
        sys.exit('The training failed: see the first error above.')

    scalars = max(WORK_DIR.glob('*/vis_data/scalars.json'))
    losses, scores = read_scalars(scalars)
    plot_curves(losses, scores, WORK_DIR / 'curves.png')
    draw_detections(WORK_DIR / 'detections.png')
    final = scores[-1, 1]
    print(
        f'\nCOCO mAP {final:.3f} on held-out images, '
        f'in {time.monotonic() - start:.0f} s\n'
        f'detections beside the truth: {WORK_DIR / "detections.png"}\n'
        f'loss and mAP over training:  {WORK_DIR / "curves.png"}'
    )
    if final < TARGET:
        sys.exit(f'mAP {final:.3f} is below {TARGET}: the demo has failed.')


def draw_detections(out: Path) -> None:
    """Detect on the first held-out images with the last checkpoint."""
    config = Config.fromfile(CONFIG)
    checkpoint = (WORK_DIR / 'last_checkpoint').read_text()
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
    plot_detections(images, truths, detections, out)


if __name__ == '__main__':
    main()
