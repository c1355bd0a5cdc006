"""Equal multiply-adds, unequal time: section 2 of arXiv 1904.09730."""

from benchmark import Setting
from benchmark.summary import over

from .measured import DEVICE, NOTE, above_one, inference
from .published import label
from .report import Finding, Result

ROWS = ('mmpretrain:MobileNetV2', 'torchvision:shufflenet_v2_x1_5')
NOTES = (
    'The paper says so of a GPU and gives no figures. Here: MobileNetV2 '
    'without its classifier, and ShuffleNetV2 of 1.5 times the width, whose '
    'classifier makes 1 M of its multiply-adds.',
    NOTE,
)


def check(
    size: int = 224,
    batch: int = 1,
    rounds: int = 25,
    device: str = DEVICE,
    precision: str = 'fp32',
) -> Result:
    """Measure two networks of as many multiply-adds.

    Args:
        size (int): Height and width of the images. Defaults to 224.
        batch (int): Images per batch. Defaults to 1.
        rounds (int): Times that each is timed. Defaults to 25.
        device (str): Device. Defaults to 'cuda' where there is one.
        precision (str): 'fp32', 'amp' or 'bf16'. Defaults to 'fp32'.
    """
    setting = Setting(batch, size, device, precision)
    results = inference(ROWS, setting, rounds)
    mobile, shuffle = results.values()
    work = shuffle.cost.macs / mobile.cost.macs
    access = shuffle.cost.memory_access / mobile.cost.memory_access
    speed = over(mobile.forward_ms, shuffle.forward_ms)
    names = ' over '.join(map(label, reversed(ROWS)))
    shown = ('GMACs', 'memory access M', 'params M', 'forward ms', 'images/s')
    columns = {row: result.columns() for row, result in results.items()}
    rows = [
        {'backbone': label(row)} | {key: found[key] for key in shown}
        for row, found in columns.items()
    ]
    return Result(
        f'Equal multiply-adds, {size}x{size}, batch {batch}',
        [
            Finding(
                f'as many multiply-adds, within 5 %, {names}',
                'the same',
                f'{work:.2f}',
                abs(work - 1) < 0.05,
            ),
            Finding(
                f'less memory access (Eq. 1), {names}',
                'not stated',
                f'{access:.2f}',
                access < 1,
            ),
            Finding(
                f'more images/s, {names}',
                'faster',
                str(speed),
                above_one(speed),
            ),
        ],
        rows,
        None,
        setting,
        seeds=[0],
        notes=NOTES,
    )
