"""What the pages tell to write, as a user would write it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from paper.report import VERDICTS
from PIL import Image

ROOT = Path(__file__).parents[1]
XML = """<annotation><size><width>80</width><height>60</height></size>
<object><name>cell</name><bndbox><xmin>10</xmin><ymin>12</ymin>
<xmax>40</xmax><ymax>44</ymax></bndbox></object></annotation>"""

pytestmark = pytest.mark.usefixtures('published')


@pytest.fixture(autouse=True)
def no_scope():
    yield
    DefaultScope._instance_dict.clear()


def blocks(page):
    """The Python of a page; a comment in front of it names some."""
    text = (ROOT / page).read_text()
    found = re.findall(
        r'(?:<!-- config: (\w+) -->\n)?```python\n(.*?)```', text, re.S
    )
    return [(name, code) for name, code in found]


def config(code, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        re.sub(r"'\.\./(fcos|demo)/", rf"'{ROOT}/configs/\1/", code).replace(
            "'data/mine/'", f"'{tmp_path}/'"
        )
    )
    cfg = Config.fromfile(path)
    weights = cfg.model.backbone.pop('init_cfg', None)
    if 'fcos/' in code:
        assert weights.checkpoint.startswith('vovnet://')
    return cfg


def step(cfg):
    """The losses of the first step."""
    from mmdet.registry import DATASETS, MODELS

    with DefaultScope.overwrite_default_scope('mmdet'):
        data = DATASETS.build(cfg.train_dataloader.dataset)
        model = MODELS.build(cfg.model)
    batch = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            dataset=data,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        )
    )
    losses = model(
        **model.data_preprocessor(next(iter(batch)), training=True),
        mode='loss',
    )
    return data, {key: float(value) for key, value in losses.items()}


@pytest.fixture
def mine(tmp_path):
    """Four greyscale photographs in VOC's and in COCO's form."""
    pytest.importorskip('mmdet', exc_type=ImportError)
    for folder in ('Annotations', 'JPEGImages', 'images', 'ImageSets/Main'):
        (tmp_path / folder).mkdir(parents=True)
    grey = np.arange(4800, dtype=np.uint8).reshape(60, 80)
    for i in range(4):
        for folder in ('JPEGImages', 'images'):
            Image.fromarray(grey).save(tmp_path / folder / f'{i}.jpg')
        (tmp_path / 'Annotations' / f'{i}.xml').write_text(XML)
    box = dict(category_id=1, bbox=[10, 12, 30, 32], area=960, iscrowd=0)
    truth = dict(
        images=[
            dict(id=i, file_name=f'{i}.jpg', width=80, height=60)
            for i in range(4)
        ],
        annotations=[box | dict(id=i, image_id=i) for i in range(4)],
        categories=[dict(id=1, name='cell'), dict(id=2, name='platelet')],
    )
    for part in ('train', 'val'):
        (tmp_path / f'{part}.json').write_text(json.dumps(truth))
        names = tmp_path / 'ImageSets' / 'Main' / f'{part}.txt'
        names.write_text('0\n1\n2\n3\n')
    return tmp_path


@pytest.mark.parametrize('form', ['voc', 'coco', 'small'])
def test_own_data_config_trains(form, mine):
    codes = dict(blocks('docs/own_data.md'))
    code = codes['voc']
    if form == 'coco':
        start, end = (
            code.index('data = dict('),
            code.index('# The base config'),
        )
        code = code[:start] + codes['coco'] + code[end:]
    cfg = config(codes['small'] if form == 'small' else code, mine)
    resize = cfg.train_dataloader.dataset.pipeline[3]
    if form == 'small':
        assert resize.scale == (320, 320) and cfg.train_cfg.max_epochs == 20
        assert cfg.model.backbone.arch == 'V-27-slim'
    else:
        assert resize.type == 'RandomChoiceResize'
        resize.scales = [(128, 96)]
    data, losses = step(cfg)
    assert len(data) == 4 and data.metainfo['classes'] == ('cell', 'platelet')
    assert all(np.isfinite(value) for value in losses.values())
    assert losses['loss_cls'] > 0
    assert (cfg.val_evaluator.ann_file is None) == (form != 'coco')
    for split in ('train', 'val', 'test'):
        own = cfg[f'{split}_dataloader'].dataset
        assert split in own.ann_file and own.data_root == f'{mine}/'
        assert own.metainfo.classes == ('cell', 'platelet')


def test_pixel_statistics_of_greyscale(mine, monkeypatch, capsys):
    (code,) = [c for _, c in blocks('docs/own_data.md') if 'pixels.std' in c]
    exec(code.replace('data/mine', str(mine)), {})
    assert capsys.readouterr().out.count('[') == 2


def test_readme_shows_what_swap_writes():
    """The channels of its lines, new and old."""
    pytest.importorskip('mmdet', exc_type=ImportError)
    from mmengine.hub import get_config

    from mmvovnet.swap import swap_backbone

    text = (ROOT / 'README.md').read_text()
    name, arch = re.search(r'mmvovnet swap (\S+) --arch (\S+)', text).groups()
    new, old = re.search(
        r'neck=dict\(in_channels=(\[.*\])\),  # (\[.*\])', text
    ).groups()
    cfg = get_config(name)
    assert str(cfg.model.neck.in_channels) == old
    swapped = swap_backbone(cfg, arch).model
    assert str(swapped.neck.in_channels) == new
    assert f"type='{swapped.backbone.type}', arch='{arch}'" in text
    assert swapped.backbone.arch == arch


def test_notebook_runs(capsys):
    notebook = json.loads((ROOT / 'docs' / 'first_steps.ipynb').read_text())
    scope = {}
    for cell in notebook['cells']:
        if cell['cell_type'] == 'code':
            assert not cell['outputs']
            exec(cell['source'], scope)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == '(1, 256, 28, 28) 8'
    assert printed.count('True') == 2
    assert printed[-1] == '21.58 M, 7.07 GMACs'


@pytest.mark.parametrize(
    'path',
    sorted((ROOT / 'docs' / 'paper').glob('*.md')),
    ids=lambda path: path.stem,
)
def test_verdicts_are_of_three_words(path):
    """The last column of the first table, and the claim's in front of it."""
    verdicts = VERDICTS.values()
    lines = path.read_text().splitlines()
    (claim,) = [line for line in lines if line.startswith('**')]
    assert re.search(rf': ({"|".join(verdicts)})\.\*\*', claim)
    start = next(i for i, line in enumerate(lines) if line[:7] == '| claim')
    end = lines.index('', start)
    parts = [line.split(' | ')[-1][:-2] for line in lines[start + 2 : end]]
    assert parts and set(parts) <= set(verdicts)


TOP = sorted(ROOT.glob('*.md'))  # sphinx looks at the links of docs/
PAGES = [*TOP, *ROOT.glob('docs/*.md'), *ROOT.glob('configs/*/README.md')]


def test_pages_use_plain_words():
    odd = re.compile(r'\b(told|meanwhile|somebody|ours|theirs)\b', re.I)
    assert not {
        page.name: found
        for page in PAGES
        if (found := odd.findall(page.read_text()))
    }


@pytest.mark.parametrize('page', TOP, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = re.sub(r'```.*?```', '', page.read_text(), flags=re.S)
    for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', text):
        if '://' not in target:
            assert (page.parent / target).exists(), target
