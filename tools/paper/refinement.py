"""What RefineDet's first head does, and what a detector's parts cost.

python tools/paper/refinement.py WORK_DIR          # refinement.png
python tools/paper/refinement.py WORK_DIR --time   # of a one-stage detector
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmdet.structures.bbox import bbox_overlaps
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvovnet.analysis.summary import markdown_table
from mmvovnet.analysis.visualize import draw_box
from mmvovnet.analysis.workdir import last_checkpoint
from mmvovnet.engine import find_config

COLOURS = ('dodgerblue', 'orange', 'lime', 'red', 'violet', 'yellow')


def load_detector(
    work_dir: str, checkpoint: str | None = None
) -> tuple[nn.Module, Any]:
    """Load the detector of a work dir.

    Args:
        work_dir (str): Folder of the training.
        checkpoint (str, optional): Weights. Defaults to None, the last.

    Returns:
        tuple: The model, in eval mode on the CPU, and the validation data.
    """
    from mmdet.apis import init_detector
    from mmdet.registry import DATASETS

    model = init_detector(
        str(find_config(work_dir)),
        checkpoint or last_checkpoint(work_dir),
        device='cpu',
    )
    return model, DATASETS.build(model.cfg.val_dataloader.dataset)


@dataclass
class Refinement:
    """The anchors of an image that match an object.

    Attributes:
        image (np.ndarray): RGB, uint8 of shape (H, W, 3), as the network
            sees it.
        truth (Tensor): Objects, (G, 4) in its pixels.
        anchors (Tensor): Anchors that match one, (K, 4).
        refined (Tensor): What the first head makes of them, (K, 4).
        objects (Tensor): Which object each matches, (K,).
    """

    image: np.ndarray
    truth: Tensor
    anchors: Tensor
    refined: Tensor
    objects: Tensor

    def overlaps(self) -> tuple[Tensor, Tensor]:
        """IoU of each with its object, before and after, (K,) each."""
        targets = self.truth[self.objects]
        return tuple(
            bbox_overlaps(boxes, targets, is_aligned=True)
            for boxes in (self.anchors, self.refined)
        )


@torch.no_grad()
def refinements(model: nn.Module, dataset: Any) -> Iterator[Refinement]:
    """Match and refine anchors on each image of a data set.

    Args:
        model (nn.Module): A RefineDet in eval mode.
        dataset (BaseDetDataset): Whose pipeline reads the truth too.
    """
    for item in dataset:
        data = model.data_preprocessor(pseudo_collate([item]))
        sources, _ = zip(*model.extract_feat(data['inputs']), strict=True)
        scores, deltas = model.arm_head(sources)
        anchors = model.arm_head.anchors(scores)
        refined = model.arm_head.refine(scores, deltas)[0][0]
        truth = data['data_samples'][0].gt_instances
        # test pipelines read the truth after resizing: it is in the
        # original's pixels
        meta = data['data_samples'][0].metainfo
        scale = truth.bboxes.new_tensor(meta['scale_factor']).repeat(2)
        truth = InstanceData(bboxes=truth.bboxes * scale, labels=truth.labels)
        matches = model.arm_head.assigner.assign(
            InstanceData(priors=anchors), truth
        ).gt_inds
        kept = matches > 0
        image = item['inputs'].numpy()[::-1].transpose(1, 2, 0)
        yield Refinement(
            image,
            truth.bboxes,
            anchors[kept],
            refined[kept],
            matches[kept] - 1,
        )


def all_overlaps(found: list[Refinement]) -> dict[str, Tensor]:
    """IoU with their objects in all images, of anchors and refined anchors."""
    before, after = zip(*(one.overlaps() for one in found), strict=True)
    return {'anchors': torch.cat(before), 'refined anchors': torch.cat(after)}


def plot_refinements(found: list[Refinement], out: str) -> None:
    """Draw images with anchors before and after, and all overlaps.

    Args:
        found (list[Refinement]): Images; the first four are drawn.
        out (str): Image file to write.
    """
    figure = Figure((13, 4.6), dpi=110, layout='constrained')
    grid = figure.add_gridspec(2, 6)
    for i, one in enumerate(found[:4]):
        row, column = divmod(i, 2)
        for j, boxes in enumerate((one.anchors, one.refined)):
            ax = figure.add_subplot(grid[row, 2 * column + j])
            ax.imshow(one.image)
            ax.axis('off')
            if row == 0:
                ax.set_title(('anchors', 'refined anchors')[j])
            colours = [COLOURS[k % len(COLOURS)] for k in one.objects.tolist()]
            _draw(ax, one.truth, ['white'] * len(one.truth), linewidth=2)
            _draw(ax, boxes, colours, linewidth=0.8)
    ax = figure.add_subplot(grid[:, 4:])
    bins = np.linspace(0, 1, 41)
    for name, values in all_overlaps(found).items():
        near = (values >= 0.7).float().mean()
        label = f'{name}\nmean {values.mean():.3f}\n{near:.1%} from 0.7 up'
        ax.hist(values.numpy(), bins, alpha=0.6, label=label)
    ax.set_xlabel('IoU with the object')
    ax.set_ylabel('anchors that match an object')
    ax.legend(loc='upper left')
    figure.savefig(out)


def _draw(ax: Axes, boxes: Tensor, colours: list, linewidth: float) -> None:
    for box, colour in zip(boxes.tolist(), colours, strict=True):
        draw_box(ax, box, color=colour, linewidth=linewidth)


@torch.no_grad()
def time_parts(
    model: nn.Module, data: dict, repeats: int = 20
) -> dict[str, float]:
    """Time the parts of a one-stage detector.

    Args:
        model (nn.Module): In eval mode.
        data (dict): A batch, as from a data loader.
        repeats (int): Runs of each part. Defaults to 20.

    Returns:
        dict[str, float]: Milliseconds, the median, by part. 'boxes' is
        decoding and suppression.
    """
    data = model.data_preprocessor(data)
    metas = [sample.metainfo for sample in data['data_samples']]
    times = {}

    def timed(part: str, function: Callable, *args: Any) -> Any:
        laps = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            result = function(*args)
            laps.append(time.perf_counter() - start)
        times[part] = 1000 * float(np.median(laps[1:]))
        return result

    maps = timed('backbone', model.backbone, data['inputs'])
    levels = timed('neck', model.neck, maps)
    head = model.bbox_head
    if hasattr(model, 'arm_head'):
        sources, levels = zip(*levels, strict=True)
        first = timed('first head', model.arm_head, sources)
        second = timed('head', head, levels)
        timed(
            'boxes',
            lambda: head.predict_by_feat(
                *second, *model.arm_head.refine(*first), metas
            ),
        )
    else:
        outs = timed('head', head, levels)
        timed(
            'boxes',
            lambda: head.predict_by_feat(*outs, batch_img_metas=metas),
        )
    return times


def main() -> None:
    """Draw a RefineDet's anchors, or time a detector's parts."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('work_dir', help='folder of a training')
    parser.add_argument('--checkpoint', help='weights (default: the last)')
    parser.add_argument('--out', default='refinement.png')
    parser.add_argument('--time', action='store_true')
    args = parser.parse_args()
    model, dataset = load_detector(args.work_dir, args.checkpoint)
    if not args.time:
        plot_refinements(list(refinements(model, dataset)), args.out)
        print(args.out)
        return
    times = time_parts(model, pseudo_collate([dataset[0]]))
    total = sum(times.values())
    row = {'all, ms': f'{total:.1f}'}
    for part, ms in times.items():
        row[part] = f'{ms:.1f} ({ms / total:.0%})'
    print(markdown_table([row]))


if __name__ == '__main__':
    main()
