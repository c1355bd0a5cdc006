import importlib.util
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

tomllib = pytest.importorskip('tomllib', reason='needs Python 3.11')

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location(
    'check_stack', ROOT / 'tools' / 'check_stack.py'
)
check_stack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_stack)

GOOD = check_stack.KNOWN_GOOD | {
    'python': '3.11.7',
    'numpy': '2.4.6',
    'setuptools': '80.10.2',
    **{n: '1' for names, _ in check_stack.NEEDED.values() for n in names},
}
NO_GPU = dict(torch=None, gpu='False', driver=None, mmcv='not available')


def remedies(found=GOOD, failed=(), cuda=NO_GPU):
    return dict(check_stack.problems(found, dict(failed), cuda))


def test_the_known_good_set_is_that_of_the_constraints():
    pins = (ROOT / 'constraints.txt').read_text()
    assert (
        dict(re.findall(r'^([\w-]+)==(\S+)$', pins, re.M))
        == check_stack.KNOWN_GOOD
    )


def test_nothing_is_wrong_with_it():
    assert remedies() == {}


def without(*names):
    return {k: v for k, v in GOOD.items() if k not in names}


NO_OPS = {'mmcv._ext': "No module named 'mmcv._ext'"}
NO_PKG = {'pkg_resources': "No module named 'pkg_resources'"}
NO_GL = {'cv2': 'libGL.so.1: cannot open shared object file'}


@pytest.mark.parametrize(
    ('found', 'failed', 'problem', 'remedy'),
    [
        (without('torch'), {}, 'torch is not', 'pip install torch'),
        (without('mmcv'), NO_OPS, 'mmcv is not', 'install_mmcv.py'),
        (GOOD, NO_OPS, 'mmdet needs the ops', 'install_mmcv.py'),
        (GOOD | {'mmcv-lite': '2.1.0'}, {}, 'both', 'uninstall -y mmcv mm'),
        (GOOD | {'mmcv': '2.2.0'}, {}, 'refuses mmcv 2.2.0', 'install_mmcv'),
        (GOOD, NO_PKG, 'pkg_resources is missing', 'setuptools>=77.0.3,<81'),
        (GOOD, NO_GL, 'libGL.so.1', 'opencv-python-headless'),
        (without('regex'), {}, 'mmsegmentation imports regex', 'ftfy regex'),
        (without('numba'), {}, 'mmdet3d imports numba', 'detection3d'),
        (GOOD | {'python': '3.9.2'}, {}, 'Python 3.9.2', '3.10'),
        (
            GOOD | {'torch': '2.5.1+cpu', 'torchvision': '0.20.1'},
            {},
            'torch 2.5.1+cpu is too old',
            'pip install -U torch',
        ),
        (
            GOOD | {'torchvision': '0.19.0'},
            {},
            'torchvision 0.19.0 does not belong to torch 2.14.1',
            'torch==2.14.1 torchvision',
        ),
    ],
)
def test_one_problem_has_one_remedy(found, failed, problem, remedy):
    ((text, mend),) = remedies(found, failed).items()
    assert problem in text
    assert remedy in mend


@pytest.mark.parametrize(
    ('cuda', 'problem'),
    [
        (
            dict(torch='13.0', gpu='True', driver='/bin/x', mmcv='12.8'),
            'torch has CUDA 13.0 and the ops of mmcv 12.8',
        ),
        (
            dict(torch=None, gpu='False', driver='/bin/x'),
            'finds no GPU',
        ),
    ],
)
def test_cuda(cuda, problem):
    ((text, _),) = remedies(cuda=cuda).items()
    assert problem in text


def test_3d_detection_and_segmentation_are_optional():
    needed = [n for names, _ in check_stack.NEEDED.values() for n in names]
    assert remedies(without('mmdet3d', 'mmsegmentation', *needed)) == {}


def test_light_mmcv_is_fine_without_mmdet():
    found = without('mmcv', 'mmdet', 'mmpretrain') | {'mmcv-lite': '2.1.0'}
    assert remedies(found, NO_OPS) == {}


def test_a_light_environment_is_told_what_it_is_not_for(monkeypatch):
    def version(name):
        if name in ('mmdet', 'mmcv', 'onnx'):
            raise PackageNotFoundError(name)
        return '1'

    monkeypatch.setattr(check_stack, 'version', version)
    found = dict(check_stack.missing())
    assert found['detection'] == 'mmdet, mmcv'
    assert found['export'] == 'onnx'
    assert 'classification' not in found


def test_the_extras_are_those_of_the_metadata():
    extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project'][
        'optional-dependencies'
    ]
    for use, packages in check_stack.USES.items():
        named = {re.match(r'[\w-]+', each)[0] for each in extras[use]}
        assert set(packages) - {'mmdet3d'} <= named


def test_reports_this_machine(capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['check_stack.py'])
    code = check_stack.main()
    lines = capsys.readouterr().out.splitlines()
    assert any(re.match(r'  torch +\d+\.\d+', line) for line in lines)
    wrong = [line for line in lines if line.startswith('wrong: ')]
    assert code == bool(wrong)
    assert all('; remedy: ' in line for line in wrong)
