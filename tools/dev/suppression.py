"""The share of decoding and suppression in a detector's time on a CPU.

    python tools/dev/suppression.py

Weights are random. Class scores are shifted until a share of them passes the
config's score_thr, 0.05: 0.1 %, and 2 % as in a crowded image.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from mmvovnet.engine import load_config

CONFIGS = (
    'configs/fcos/fcos_vovnet39_fpn_1x_coco.py',
    'configs/retinanet/retinanet_vovnet39_fpn_1x_coco.py',
    'configs/refinedet/refinedet320_vovnet39_400k_coco.py',
)
SHARES = 0.001, 0.02
SIZE = 640


def seconds(call: Callable[[], object]) -> float:
    """The processor's time of a call, the least of three."""
    call()
    times = []
    for _ in range(3):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def shift(maps: list[Tensor], share: float, softmax: bool) -> list[Tensor]:
    """Shift logits so that a share of the scores passes 0.05."""
    values = torch.cat([x.flatten() for x in maps])
    limit = values.kthvalue(int(len(values) * (1 - share))).values
    scale = 10.0  # trained scores are far apart
    if softmax:  # against the sum of 80 other classes of about exp(0)
        return [(x - limit) * scale + 1.4 for x in maps]
    return [(x - limit) * scale - 2.9 for x in maps]


def measure(path: str) -> Iterator[str]:
    """A line for each share of a config's scores."""
    cfg = load_config(path)
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    x = torch.rand(1, 3, SIZE, SIZE)
    network = seconds(lambda: model._forward(x))
    logits, *rest = model._forward(x)
    refined = hasattr(model, 'arm_head')
    meta = dict(
        img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE), scale_factor=(1, 1)
    )

    def detect(maps: list[Tensor]) -> list:
        others = rest
        if refined:
            others = [rest[0], *model.arm_head.refine(*rest[1:])]
        elif len(rest) == 1:  # no centerness
            others = [*rest, None]
        return model.bbox_head.predict_by_feat(
            maps, *others, batch_img_metas=[meta], rescale=True
        )

    for share in SHARES:
        maps = shift(logits, share, softmax=refined)
        after = seconds(partial(detect, maps))
        yield (
            f'{path}: {share:.1%} pass, network {network * 1e3:.0f} ms, '
            f'after it {after * 1e3:.1f} ms ({after / (network + after):.1%})'
        )


@torch.no_grad()
def main() -> None:
    """Print a line for each config and share."""
    torch.set_num_threads(1)
    for path in CONFIGS:
        for line in measure(path):
            print(line, flush=True)


if __name__ == '__main__':
    main()
