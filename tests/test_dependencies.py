"""What the code imports beside what pyproject.toml declares."""

import ast
import re
import sys
from pathlib import Path

import pytest

tomllib = pytest.importorskip('tomllib', reason='needs Python 3.11')

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
EXTRAS = PROJECT['optional-dependencies']
# Modules that are not called as their distributions.
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'mmseg': 'mmsegmentation',
    'pynvml': 'nvidia-ml-py',
    'pytorch_grad_cam': 'grad-cam',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}
# What a folder may import besides the backbone's dependencies and OpenMMLab.
FOLDERS = {
    'mmvovnet/analysis': ['analysis'],
    'mmvovnet/weights': ['analysis', 'hub'],
    'mmvovnet/datasets': ['demo'],
    'mmvovnet/deploy': ['export'],
    'tools': ['analysis', 'demo', 'dev', 'export', 'mim'],
}
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ('mmvovnet', 'tools')
    for path in (ROOT / folder).rglob('*.py')
    if '.mim' not in path.parts
)


def names(requirements):
    found = (re.match(r'[\w.-]+', each)[0].lower() for each in requirements)
    return set(found)


def imported(path):
    """The distributions that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module)
    tops = {module.split('.')[0] for module in modules}
    tops -= {'mmvovnet', *sys.stdlib_module_names}
    tops -= {path.stem for path in (ROOT / 'tools').iterdir()}
    return {DISTRIBUTIONS.get(top, top).lower() for top in tops}


@pytest.mark.parametrize('path', FILES, ids=str)
def test_imports_are_declared(path):
    extras = ['backbone', 'detection', 'classification', 'segmentation']
    for folder, more in FOLDERS.items():
        if path.is_relative_to(folder):
            extras += more
    declared = names(PROJECT['dependencies'])
    if path.is_relative_to('mmvovnet/swap'):  # which it gives toy images
        declared |= {'mmdet3d', 'mmpose'}  # pip alone installs neither here
    for extra in extras:
        declared |= names(EXTRAS[extra])
    assert imported(path) <= declared


def test_undeclared_imports_are_found(monkeypatch, tmp_path):
    path = tmp_path / 'file.py'
    path.write_text('def f():\n    import sklearn.datasets, os\n')
    assert imported(path) == {'scikit-learn'}


def test_the_version_is_written_once():
    assert 'version' in PROJECT['dynamic']
    assert 'version' not in PROJECT


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    import mmvovnet

    def missing(name, package):
        raise ModuleNotFoundError("No module named 'torch'", name='torch')

    monkeypatch.setattr(mmvovnet, 'import_module', missing)
    with pytest.raises(ModuleNotFoundError, match=r'needs torch: pip install'):
        _ = mmvovnet.VoVNet
