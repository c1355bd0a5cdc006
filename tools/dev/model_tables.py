"""Write the model tables of the pages: ``python tools/dev/model_tables.py``.

The README's is counted from the archs. Every other one comes from the
``metafile.yml`` of a folder of configs, has that folder's name, and stands in
the folder's README.md and in docs/zoo.md. Those of docs/checkpoints.md are the
table of public files. A table stands between the comments
``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

import os
import re
from functools import cache
from pathlib import Path

import torch
import yaml

from mmvovnet import VoVNet
from mmvovnet.analysis import count_cost
from mmvovnet.analysis.summary import markdown_table
from mmvovnet.models.archs import ARCHS
from mmvovnet.weights import default_weights, public_files
from mmvovnet.weights.download import browser_url
from mmvovnet.weights.public import PublicFile

ROOT = Path(__file__).parents[2]
METAFILES = sorted(ROOT.glob('configs/*/metafile.yml'))
PAGES = [
    ROOT / 'README.md',
    ROOT / 'docs' / 'zoo.md',
    ROOT / 'docs' / 'checkpoints.md',
    *(path.with_name('README.md') for path in METAFILES),
]
# What other code calls the archs.
ELSEWHERE = {
    'V-27-slim': 'authors `vovnet27_slim`',
    'V-39': 'authors `vovnet39`, timm `vovnet39a`¹',
    'V-57': 'authors `vovnet57`, timm `vovnet57a`¹',
    'V-93': 'vov-net `V-93`',
    'V-99': '-',
    'V-19-slim-dw-eSE': 'detectron2 `V-19-slim-dw-eSE`, timm '
    '`ese_vovnet19b_slim_dw`',
    'V-19-dw-eSE': 'detectron2 `V-19-dw-eSE`, timm `ese_vovnet19b_dw`',
    'V-19-slim-eSE': 'detectron2 `V-19-slim-eSE`, timm `ese_vovnet19b_slim`',
    'V-19-eSE': 'detectron2 `V-19-eSE`',
    'V-39-eSE': 'detectron2 `V-39-eSE`, timm `ese_vovnet39b`²',
    'V-57-eSE': 'detectron2 `V-57-eSE`, timm `ese_vovnet57b`²',
    'V-99-eSE': 'detectron2 and mmdet3d `V-99-eSE`, timm `ese_vovnet99b`²',
}
# Options of all networks of vision-toolbox, which the page names once.
TOOLBOX = {'stem_strides', 'pool_padding', 'identity'}


def table_of(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of rows without names."""
    return markdown_table([dict(zip(head, row, strict=True)) for row in rows])


def family() -> str:
    """The archs, what they cost, and what other code calls them."""
    rows = []
    for arch in VoVNet.arch_settings:
        with torch.device('meta'):
            cost = count_cost(VoVNet(arch), (3, 224, 224))
        rows.append(
            [
                f'`{arch}`',
                f'{cost.parameters / 1e6:.2f}',
                f'{cost.macs / 1e9:.2f}',
                ELSEWHERE[arch],
            ]
        )
    head = ['arch', 'parameters, M', 'GMACs at 224', 'other names']
    return table_of(head, rows)


def models(metafile: Path) -> list[dict]:
    """The models that a folder lists."""
    return yaml.safe_load(metafile.read_text())['Models']


def zoo(models: list[dict]) -> str:
    """What models cost and reach; metrics' names as the metafile has them.

    What a metafile does not say stays empty. One source of all cited metrics
    is linked in the head; several have a column.
    """
    results = [result for m in models for result in m.get('Results', [])]
    metrics = list(dict.fromkeys(k for r in results for k in r['Metrics']))
    sources = {r['Source'] for r in results if 'Source' in r}
    rows = []
    for model in models:
        meta = model['Metadata']
        results = model.get('Results', [])
        values = {k: v for r in results for k, v in r['Metrics'].items()}
        row = [
            f'[`{model["Name"]}`]({model["Config"]})',
            millions(meta.get('Parameters')),
            gmacs(meta.get('FLOPs')),
            str(meta['Epochs']),
            *(str(values.get(name, '')) for name in metrics),
        ]
        if len(sources) > 1:
            source = results[0]['Source'] if results else ''
            row.append(source and f'[{source.rsplit("/", 1)[1]}]({source})')
        rows.append(row)
    if len(sources) == 1:
        cited = f'([cited]({sources.pop()}))'
        metrics = [name.replace('(cited)', cited) for name in metrics]
    head = ['config', 'parameters, M', 'GMACs', 'epochs', *metrics]
    return table_of(head + ['source'] * bool(sources), rows)


def millions(count: int | None) -> str:
    """A number of parameters in 1e6, or nothing."""
    return '' if count is None else f'{count / 1e6:.2f}'


def gmacs(count: int | None) -> str:
    """A number of multiply-adds in 1e9, or nothing."""
    if count is None:
        return ''
    return f'{count / 1e9:.{1 if count >= 1e9 else 2}f}'


def link(file: PublicFile) -> str:
    """A file's name, with its address."""
    return f'[`{file.name}`]({browser_url(file.url)})'


def published(file: PublicFile) -> str:
    """A file's published accuracy."""
    return ', '.join(f'{k} {v}' for k, v in file.metrics.items())


def default_files() -> str:
    """What configs of each arch start from."""
    rows = []
    for arch in ARCHS:
        if file := default_weights(arch):
            rows.append([f'`{arch}`', link(file), published(file)])
    return table_of(['arch', 'weights', 'published, %'], rows)


def living_files() -> str:
    """All files that can be had."""
    rows = []
    for file in filter(lambda file: file.lives, public_files().values()):
        options = [
            f'{k}={tuple(v) if isinstance(v, list) else v!r}'
            for k, v in file.options.items()
            if k not in ('arch', *TOOLBOX)
        ]
        cell = f'`{", ".join(options)}`' if options else ''
        if file.options.keys() >= TOOLBOX:
            cell = f'{cell} \\*'.strip()
        arch = file.options['arch']
        place = file.source.rsplit('/', 1)[1]
        rows.append(
            [
                link(file),
                f'`{arch}`' if isinstance(arch, str) else 'its own',
                cell,
                published(file),
                f'[{place}]({file.source})',
            ]
        )
    head = ['name', 'arch', 'other options', 'published, %', 'from']
    return table_of(head, rows)


@cache
def tables() -> dict[str, str]:
    """Every table by its name: the family, files, and one for each folder."""
    files = {
        'weights-default': default_files(),
        'weights-living': living_files(),
    }
    return {'family': family(), **files} | {
        path.parent.name: zoo(models(path)) for path in METAFILES
    }


def render(page: str, tables: dict[str, str], folder: Path = ROOT) -> str:
    """Replace the tables of a page.

    Args:
        page (str): Its text.
        tables (dict[str, str]): The tables by name.
        folder (Path): Where the page is; the links to configs start there.

    Raises:
        KeyError: If the page has a table that is not among ``tables``.
    """

    def relative(link: re.Match) -> str:
        return f']({os.path.relpath(ROOT / link[1], folder)})'

    tables = {
        name: re.sub(r'\]\((configs/[^)]*)\)', relative, table)
        for name, table in tables.items()
    }
    return re.sub(
        r'<!-- table: (\S+) -->.*?<!-- end -->',
        lambda m: f'<!-- table: {m[1]} -->\n\n{tables[m[1]]}\n\n<!-- end -->',
        page,
        flags=re.DOTALL,
    )


def main() -> None:
    """Rewrite the pages."""
    found = tables()
    for page in PAGES:
        page.write_text(render(page.read_text(), found, page.parent))
        print(page.relative_to(ROOT))


if __name__ == '__main__':
    main()
