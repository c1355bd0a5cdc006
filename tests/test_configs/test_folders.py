"""Each folder lists its configs, for mim and for readers."""

import re
from pathlib import Path

import pytest
import yaml

from .files import CONFIGS, METAFILES, ROOT, load, name

# At the top of the folder stand three short names of configs below.
DOORS = sorted(ROOT.glob('*.py'))
FOLDERS = sorted({path.parent for path in CONFIGS})


def test_names():
    """mim lowers the case of a query and finds a config by its base name."""
    stems = [path.stem for path in DOORS + CONFIGS]
    assert stems
    assert all(stem == stem.lower() for stem in stems)
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize('path', DOORS, ids=name)
def test_a_door_opens_on_one_config(path):
    comment, base = path.read_text().splitlines()
    assert comment.startswith('# ')
    (target,) = re.findall(r"^_base_ = '\./(\w+/.+\.py)'$", base)
    assert load(path).to_dict() == load(ROOT / target).to_dict()


def test_the_doors():
    """The paths that people know."""
    assert [path.stem for path in DOORS] == [
        'fcos_vovnet39',
        'retinanet_vovnet39',
        'vovnet39_in1k',
    ]


def test_the_index_imports_every_metafile():
    index = yaml.safe_load((ROOT.parent / 'model-index.yml').read_text())
    paths = [str(path.relative_to(ROOT.parent)) for path in METAFILES]
    assert sorted(index['Import']) == paths


@pytest.mark.parametrize('folder', FOLDERS, ids=name)
def test_a_folder_says_and_lists_what_it_holds(folder):
    page = (folder / 'README.md').read_text()
    assert f'<!-- table: {folder.name} -->' in page
    listed = yaml.safe_load((folder / 'metafile.yml').read_text())
    (collection,) = listed['Collections']
    assert collection['README'] == f'configs/{folder.name}/README.md'
    assert collection['Metadata']['Weight'] == 'none/'  # see docs/configs.md
    for model in listed['Models']:
        assert model['In Collection'] == collection['Name']
        assert model['Name'] == Path(model['Config']).stem
    assert sorted(model['Config'] for model in listed['Models']) == sorted(
        str(path.relative_to(ROOT.parent)) for path in folder.glob('*.py')
    )


def test_the_pages_name_configs_that_exist():
    pages = [
        ROOT.parent / 'README.md',
        *ROOT.parent.glob('docs/*.md'),
        *ROOT.rglob('README.md'),
    ]
    for page in pages:
        for path in re.findall(
            r'(?<![\w/])configs/[\w./-]+\.py', page.read_text()
        ):
            # A reader's own, or NAME in capitals.
            placeholder = (
                path.startswith('configs/mine/') or Path(path).stem.isupper()
            )
            assert placeholder or (ROOT.parent / path).is_file(), (page, path)
