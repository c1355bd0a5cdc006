"""Write the model tables of the pages: ``python tools/dev/model_tables.py``.

A folder's README.md lists the models of its ``metafile.yml``. docs/zoo.md has
a row for each folder and one for each arch, and docs/checkpoints.md the public
files. A table stands between the comments ``<!-- table: NAME -->`` and
``<!-- end -->``.
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
from mmvovnet.weights.public import PublicFile

ROOT = Path(__file__).parents[2]
METAFILES = sorted(ROOT.glob('configs/*/metafile.yml'))
PAGES = [
    ROOT / 'docs' / 'zoo.md',
    ROOT / 'docs' / 'checkpoints.md',
    *(path.with_name('README.md') for path in METAFILES),
]
# The folders of configs by task, in the order of the zoo.
TASKS = {
    'boxes': 'fcos retinanet atss rtmdet faster_rcnn ssd dsod refinedet '
    'ablations',
    'masks': 'mask_rcnn centermask',
    'panoptic': 'panoptic_fpn',
    'segmentation': 'semantic_fpn upernet pspnet deeplabv3plus',
    '3D boxes': 'fcos3d pgd smoke',
    'classes': 'vovnet',
    'any': 'demo',
}
METRICS = ('box AP', 'test-dev box AP', 'mask AP', 'PQ', 'Top 1 Accuracy')
# Options of all networks of vision-toolbox, which the page names once.
TOOLBOX = {'stem_strides', 'pool_padding', 'identity'}


def table_of(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of rows without names."""
    return markdown_table([dict(zip(head, row, strict=True)) for row in rows])


def family() -> str:
    """The archs, what they cost, and their names in configs."""
    files = [path.stem for path in ROOT.glob('configs/_base_/backbones/*.py')]
    rows = []
    for arch in VoVNet.arch_settings:
        with torch.device('meta'):
            cost = count_cost(VoVNet(arch), (3, 224, 224))
        base = arch.lower().replace('v-', 'vovnet')
        names = {base, f'{base}-toolbox', f'{base}-dd3d'}.intersection(files)
        row = dict(arch=f'`{arch}`')
        row['parameters, M'] = f'{cost.parameters / 1e6:.2f}'
        row['GMACs at 224'] = f'{cost.macs / 1e9:.2f}'
        row['name in a config'] = ', '.join(
            f'`{name.replace("-", "_")}`'
            for name in sorted(names) or ['no_weights']
        )
        rows.append(row)
    return markdown_table(rows)


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


def span(values: list[float]) -> str:
    """The least and the largest value, if there are any."""
    found = [f'{f(values):.3g}' for f in (min, max) if values]
    return ' to '.join(dict.fromkeys(found))


def methods() -> str:
    """A row for each folder: its task, costs and cited metrics."""
    rows = []
    for task, folders in TASKS.items():
        for folder in folders.split():
            page = ROOT / 'configs' / folder / 'README.md'
            title = page.read_text().splitlines()[0].strip('# ')
            found = [
                model
                for model in models(page.with_name('metafile.yml'))
                if 'vovnet' in model['Name']  # others are for comparison
            ]
            meta = [model['Metadata'] for model in found]
            cited = {
                f'{name} {span(values)}': None
                for name in METRICS
                if (values := cited_values(found, f'{name} (cited)'))
            }
            rows.append(
                [
                    f'[{title}](configs/{folder}/README.md)',
                    task,
                    span([m['Parameters'] / 1e6 for m in meta]),
                    span([m['FLOPs'] / 1e9 for m in meta if 'FLOPs' in m]),
                    ', '.join(cited),
                ]
            )
    head = ['method', 'finds', 'parameters, M', 'GMACs', 'cited']
    return table_of(head, rows)


def cited_values(models: list[dict], metric: str) -> list[float]:
    """What sources publish of a metric, for models that have it."""
    results = [result for m in models for result in m.get('Results', [])]
    return [r['Metrics'][metric] for r in results if metric in r['Metrics']]


def millions(count: int | None) -> str:
    """A number of parameters in 1e6, or nothing."""
    return '' if count is None else f'{count / 1e6:.2f}'


def gmacs(count: int | None) -> str:
    """A number of multiply-adds in 1e9, or nothing."""
    if count is None:
        return ''
    return f'{count / 1e9:.{1 if count >= 1e9 else 2}f}'


def entry(file: PublicFile, bold: bool) -> str:
    """A file's name with its address, its accuracy and what it needs."""
    name = f'[`{file.name}`]({file.urls[-1]})'
    words = [f'**{name}**' if bold else name]
    for metric, value in [*file.metrics.items()][:1]:
        kind, _, size = metric.partition(' at ')
        words.append('' if kind == 'top-1' else kind)
        words.append(f'{value} at {size}' if size else str(value))
    if file.options.keys() >= TOOLBOX:
        words.append('\\*')
    if file.options.get('gate_place') == 'last':
        words.append('†')
    return ' '.join(filter(None, words))


def living_files() -> str:
    """All files that can be had, in bold those that configs start from."""
    default = {f.name for arch in ARCHS if (f := default_weights(arch))}
    found = {}
    for file in filter(lambda file: file.lives, public_files().values()):
        arch = file.options['arch']
        key = f'`{arch}`' if isinstance(arch, str) else 'its own'
        text = entry(file, file.name in default)
        found.setdefault(key, []).append(text)
    order = [key for arch in ARCHS if (key := f'`{arch}`') in found]
    order += [key for key in found if key not in order]
    rows = [[arch, ', '.join(found[arch])] for arch in order]
    return table_of(['arch', 'weights and accuracy, %'], rows)


@cache
def tables() -> dict[str, str]:
    """Every table by its name."""
    return {
        'family': family(),
        'weights': living_files(),
        'methods': methods(),
    } | {path.parent.name: zoo(models(path)) for path in METAFILES}


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
