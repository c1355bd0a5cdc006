"""Swap the backbone of every config with a ResNet: docs/swap.md's table.

``python tools/dev/swap_table.py mmdet mmseg`` runs each config in a process
of its own and adds a line to a file, so that it goes on where it was
interrupted. ``--table`` writes the page from that file.
"""

import argparse
import json
import multiprocessing
import re
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ('mmdet', 'mmseg', 'mmpretrain', 'mmdet3d')
ARCH = 'V-27-slim'
LIMIT = 300  # seconds for a config
PAGE = Path(__file__).parents[2] / 'docs' / 'swap.md'
_RESNET = re.compile(r'Res(Net|NeXt|2Net|NeSt)')


def folder(library: str) -> Path:
    """Where a library's configs are installed."""
    return Path(find_spec(library).origin).parent / '.mim' / 'configs'


def configs(library: str) -> list[str]:
    """A library's configs, one of each family first, and then the rest."""
    root = folder(library)
    names = [
        str(path.relative_to(root))
        for path in sorted(root.glob('*/**/*.py'))
        if '_base_' not in path.parts and 'deploy' not in path.parts
    ]
    places = defaultdict(int)
    order = {}
    for name in names:
        family = name.split('/')[0]
        order[name] = places[family]
        places[family] += 1
    return sorted(names, key=order.__getitem__)


def measure(library: str, name: str) -> dict:
    """Swap one config, and let it take a step."""
    from mmengine.config import Config

    from mmvovnet.swap import SwapError, plan_swap
    from mmvovnet.swap.changes import type_name
    from mmvovnet.tasks import dicts

    row = dict(config=f'{library}::{name}')
    try:
        cfg = Config.fromfile(folder(library) / name)
    except Exception as error:
        return row | dict(result='unreadable', reason=str(error)[:150])
    found = {
        path: node
        for path, node in dicts(cfg.get('model') or {})
        if _RESNET.search(type_name(node)) and 'Neck' not in type_name(node)
    }
    if not found:
        return row | dict(result='no ResNet')
    node = next(iter(found.values()))
    row |= dict(
        backbone=type_name(node),
        depths=[n.get('depth', 50) for n in found.values()],
    )
    try:
        swap = plan_swap(cfg, ARCH, with_step=True)
    except SwapError as error:
        broken = 'does not run here' in str(error)
        result = 'original' if broken else 'refused'
        return row | dict(result=result, reason=str(error))
    except Exception as error:
        return row | dict(result='crashed', reason=repr(error)[:300])
    if swap.step is None:
        return row | dict(result='swapped', reason=swap.left[-1])
    return row | dict(
        result='stepped', loss=swap.step.loss, idle=len(swap.step.idle)
    )


def _child(library: str, name: str, results: str) -> None:
    row = measure(library, name)
    with open(results, 'a') as file:
        file.write(json.dumps(row) + '\n')


def read(results: Path) -> dict[str, dict]:
    """The last row of each config."""
    if not results.exists():
        return {}
    rows = map(json.loads, results.read_text().splitlines())
    return {row['config']: row for row in rows}


def tables(rows: dict[str, dict]) -> tuple[str, str]:
    """Results by library, and what was refused and why."""
    from mmvovnet.analysis.summary import markdown_table

    families = defaultdict(set)
    counts = defaultdict(Counter)
    refused = defaultdict(Counter)
    for config, row in rows.items():
        library, _, name = config.partition('::')
        family = name.split('/')[0]
        result = row['result']
        if result in ('no ResNet', 'unreadable'):
            continue
        families[library].add(family)
        if result in ('swapped', 'original'):
            result = 'original'
        elif result != 'stepped':
            result = 'refused'
            # A path in a message is one of the library's.
            reason = re.sub(r' \(\w+Error: .*', '', row['reason'])[:160]
            reason = reason.replace('configs/', '').replace('|', '/')
            refused[reason][f'{library} {family}'] += 1
        counts[library][result] += 1
    whole = [
        dict(
            library=library,
            families=len(families[library]),
            configs=found.total(),
            original=found['original'],
            refused=found['refused'],
            stepped=found['stepped'],
            share=f'{found["stepped"] / max(1, ran):.1%}',
        )
        for library in LIBRARIES
        for found in [counts[library]]
        for ran in [found.total() - found['original']]
    ]
    parts = [
        dict(refused=_listed(found), reason=reason)
        for reason, found in refused.items()
    ]
    return markdown_table(whole), markdown_table(parts)


def _listed(found: Counter) -> str:
    return ', '.join(f'{name} {count}' for name, count in found.items())


def write_page(rows: dict[str, dict]) -> None:
    """Put the results on the page, and print what was refused."""
    results, refused = tables(rows)
    head, rest = PAGE.read_text().split('<!-- measured -->\n')
    *_, tail = rest.partition('<!-- end -->')
    text = f'{head}<!-- measured -->\n\n{results}\n\n<!-- end -->{tail}'
    PAGE.write_text(text)
    print(refused)


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('libraries', nargs='*', default=LIBRARIES)
    parser.add_argument('--results', default='work_dirs/swap.jsonl')
    parser.add_argument('--only', default='', help='part of the names')
    parser.add_argument(
        '--again', action='store_true', help='what failed, once more'
    )
    parser.add_argument('--share', default='0/1', help='i/n of the configs')
    parser.add_argument(
        '--table', action='store_true', help='write the page and stop'
    )
    args = parser.parse_args()
    results = Path(args.results)
    if args.table:
        write_page(read(results))
        return
    results.parent.mkdir(parents=True, exist_ok=True)

    import torch

    from mmvovnet.engine.known_warnings import ignore_known_warnings

    ignore_known_warnings()
    torch.set_num_threads(1)
    for library in args.libraries:
        __import__(f'{library}.models')
    share, shares = map(int, args.share.split('/'))
    processes = multiprocessing.get_context('fork')
    for library in args.libraries:
        for i, name in enumerate(configs(library)):
            config = f'{library}::{name}'
            done = read(results).get(config, {})
            failed = done.get('result') in (
                'refused',
                'crashed',
                'swapped',
                'original',
            )
            if i % shares != share or args.only not in name:
                continue
            if done and not (args.again and failed):
                continue
            child = processes.Process(
                target=_child, args=(library, name, args.results)
            )
            child.start()
            child.join(LIMIT)
            if child.exitcode != 0:
                child.kill()
                row = dict(
                    config=config,
                    result='crashed',
                    reason=f'more than {LIMIT} s'
                    if child.exitcode is None
                    else f'exit code {child.exitcode}',
                )
                with open(results, 'a') as file:
                    file.write(json.dumps(row) + '\n')


if __name__ == '__main__':
    main()
