"""Energy of an image, by section 4.1 of arXiv 1904.09730."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from benchmark import Setting, Subject
from benchmark.summary import Quartiles, over
from matplotlib.figure import Figure

from . import efficiency
from .measured import DEVICE, below_one, draw_ratios
from .power import mean_power, power_meter
from .published import PAIRS, PUBLISHED, label
from .report import Finding, Result

ROWS = tuple(row for row in efficiency.ROWS if row in PUBLISHED)
METERS = {'cuda': 'NVML', 'cpu': 'RAPL'}
NEEDS = (
    'To test this on a GPU, an NVIDIA GPU and the package nvidia-ml-py are '
    'needed; on a CPU, /sys/class/powercap/intel-rapl:*/energy_uj, which this '
    'user may read. A virtual machine has the second seldom.'
)
NOTES = (
    'Power is sampled every 100 ms while a network runs and averaged; joules '
    'are watts over images a second (Eq. 2). An idle machine takes power, '
    'too: it is measured before every round and subtracted, and what is '
    'compared is without it. The paper does not say whether it did so. It '
    'measured detectors on a TITAN X (Pascal).',
    'Ratios are medians of the rounds ± half of the range of the middle half.',
)


@dataclass(frozen=True)
class Consumption:
    """What a network took in one turn.

    Attributes:
        watts (float): Mean power.
        idle (float): Mean power of the idle machine, just before.
        rate (float): Images a second.
    """

    watts: float
    idle: float
    rate: float

    @property
    def gross(self) -> float:
        """Joules of an image: mean power over images a second (Eq. 2)."""
        return self.watts / self.rate

    @property
    def net(self) -> float:
        """Joules of an image that an idle machine would not have used."""
        return (self.watts - self.idle) / self.rate


def take_turns(
    subjects: list[Subject],
    read: Callable[[], float],
    rounds: int,
    seconds: float,
) -> dict[str, list[Consumption]]:
    """Run networks in turns; each round measures the idle machine first.

    Args:
        subjects (list[Subject]): The networks.
        read (Callable): A function that returns watts.
        rounds (int): Turns of each.
        seconds (float): How long a turn is.

    Returns:
        dict[str, list[Consumption]]: What each turn took, by row.
    """
    uses: dict[str, list[Consumption]] = {s.result.row: [] for s in subjects}
    for _ in range(rounds):
        idle, _ = mean_power(read, lambda: time.sleep(0.01), seconds)
        for subject in subjects:

            def work(subject: Subject = subject) -> None:
                subject.forward()
                if subject.x.is_cuda:
                    torch.cuda.synchronize(subject.x.device)

            work()
            watts, rate = mean_power(read, work, seconds)
            images = rate * subject.setting.batch
            uses[subject.result.row].append(Consumption(watts, idle, images))
    return uses


def check(
    size: int = 320,
    batch: int = 1,
    rounds: int = 3,
    seconds: float = 3.0,
    device: str = DEVICE,
    precision: str = 'fp32',
) -> Result:
    """Measure the energy of an image.

    Args:
        size (int): Height and width of the images. Defaults to 320.
        batch (int): Images per batch. Defaults to 1.
        rounds (int): Turns of each network. Defaults to 3.
        seconds (float): How long a turn is. Defaults to 3.
        device (str): Device. Defaults to 'cuda' where there is one.
        precision (str): 'fp32', 'amp' or 'bf16'. Defaults to 'fp32'.
    """
    setting = Setting(batch, size, device, precision)
    read = power_meter(device)
    uses: dict[str, list[Consumption]] = {}
    if read is not None:
        subjects = [Subject(row, setting) for row in ROWS]
        uses = take_turns(subjects, read, rounds, seconds)
    net = {row: [use.net for use in turns] for row, turns in uses.items()}
    paper = [PUBLISHED[a].joules / PUBLISHED[b].joules for a, b in PAIRS]
    here = [over(net[a], net[b]) for a, b in PAIRS] if net else []
    labels = [f'{label(a)} over\n{label(b)}' for a, b in PAIRS]
    kind = device.partition(':')[0]
    findings = [
        Finding(
            f'less energy of an image, {name}'.replace('\n', ' '),
            f'{paper[i]:.2f}',
            str(here[i]) if here else f'needs {METERS[kind]}',
            below_one(here[i]) if here else None,
        )
        for i, name in enumerate(labels)
    ]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        draw_ratios(axes, labels, paper, here)
        axes.set_title('Ratio of the energy of an image')

    return Result(
        f'Energy, {size}x{size}, batch {batch}',
        findings,
        [_columns(row, uses.get(row, [])) for row in ROWS],
        draw if here else None,
        setting,
        seeds=[0],
        notes=NOTES if here else (NEEDS, *NOTES),
    )


def _columns(row: str, turns: list[Consumption]) -> dict[str, Any]:
    def quartiles(name: str) -> str:
        return str(Quartiles.of([getattr(use, name) for use in turns]))

    names = {
        'J/image': 'net',
        'J/image with idle power': 'gross',
        'W': 'watts',
        'W idle': 'idle',
        'images/s': 'rate',
    }
    return {
        'backbone': label(row),
        **{
            key: quartiles(name) if turns else '-'
            for key, name in names.items()
        },
        'J/image, paper': PUBLISHED[row].joules,
        'images/s, paper': PUBLISHED[row].fps,
    }
