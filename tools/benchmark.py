"""Measure VoVNet and its peers side by side, on this machine.

    python tools/benchmark.py --quick
    python tools/benchmark.py V-39 V-39+memory_efficient timm:vovnet39a
    python tools/benchmark.py V-39+fcos V-39+fcos+compile --batch 2
    python tools/benchmark.py V-39+channels_last --device cuda --precision amp
    python tools/benchmark.py V-39 mmpretrain:ResNet-50 --scaling
    python tools/benchmark.py --memory V-39+fcos --batch 2 --size 640
    python tools/benchmark.py --memory V-99-eSE --batch 6 --size 320x800
    python tools/benchmark.py --device cuda-fake configs/fcos_vovnet39.py

``--device cuda-fake`` computes the memory of a training step on CUDA, without
a GPU and in seconds.

Writes benchmark.md, benchmark.csv and benchmark.png. Ratios are to the first
row; a tilde marks one that is within the spread of the rounds.
"""

import argparse
import csv
import os
from pathlib import Path

# Before OpenMP starts: its threads would spin after a row, and take the cores
# from the next row's runtime.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def _size(text: str) -> int | tuple[int, int]:
    height, *width = map(int, text.split('x', 1))
    return (height, *width) if width else height


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'rows',
        nargs='*',
        metavar='[SOURCE:]MODEL[+MODE]|CONFIG.py[+MODE]',
        help='as tools/benchmark/__init__.py lists them; default: all of them',
    )
    parser.add_argument('--quick', action='store_true', help='three minutes')
    parser.add_argument('--batch', type=int, help='default: 8, with --quick 4')
    parser.add_argument(
        '--size', type=_size, default=224, metavar='SIZE|HEIGHTxWIDTH'
    )
    parser.add_argument('--device', help='default: cuda if there is one')
    parser.add_argument(
        '--precision', choices=('fp32', 'amp', 'bf16'), default='fp32'
    )
    parser.add_argument('--threads', type=int, default=0)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--inference', action='store_true', help='leave training out'
    )
    parser.add_argument(
        '--forms',
        action='store_true',
        help='each row in all forms for inference on a CPU',
    )
    parser.add_argument(
        '--memory',
        action='store_true',
        help='training alone, and its peak memory with stock malloc as well',
    )
    parser.add_argument(
        '--scaling',
        action='store_true',
        help='vary batch, size and threads, for inference',
    )
    parser.add_argument('--out', type=Path, default='work_dirs/benchmark')
    return parser.parse_args()


def main() -> None:
    """Measure, and write the table and the plot."""
    args = parse_args()
    # Not before: these take seconds to import.
    import benchmark
    import torch

    from mmvovnet.analysis.summary import markdown_table

    rows = args.rows or (
        benchmark.QUICK_ROWS if args.quick else benchmark.ROWS
    )
    if args.forms:
        rows = [f'{row}{form}' for row in rows for form in benchmark.FORMS]
    setting = benchmark.Setting(
        args.batch or (4 if args.quick else 8),
        args.size,
        args.device or ('cuda' if torch.cuda.is_available() else 'cpu'),
        args.precision,
        args.threads,
    )
    if args.device == 'cuda-fake':
        print(markdown_table(benchmark.cuda_memory(rows, setting)))
        return
    settings = benchmark.scaling(setting) if args.scaling else [setting]
    training = not (args.inference or args.forms or args.scaling)
    rounds = 3 if args.quick else args.rounds
    results = []
    for each in settings:
        results += benchmark.measure(rows, each, rounds, training, args.memory)

    args.out.mkdir(parents=True, exist_ok=True)
    text = f'{benchmark.describe_machine(setting)}\n\n'
    table = benchmark.table(results)
    text += markdown_table(table)
    print(text)
    (args.out / 'benchmark.md').write_text(text)
    with open(args.out / 'benchmark.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    benchmark.plot(results, args.out / 'benchmark.png')
    print(f'Written to {args.out}/benchmark.md, .csv and .png')


if __name__ == '__main__':
    main()
