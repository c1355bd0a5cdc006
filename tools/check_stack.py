"""List what is installed, what conflicts, and what is missing.

``python tools/check_stack.py`` ends with 1 if something is wrong. A missing
package is no error; the tool says what it is needed for.
"""

import argparse
import importlib
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

# The versions of constraints.txt, which tests and demos ran with on Python
# 3.11.
KNOWN_GOOD = {
    'torch': '2.14.1',
    'torchvision': '0.29.1',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmpretrain': '1.2.0',
    'openmim': '0.3.9',
    'mmsegmentation': '1.2.2',
    'mmdet3d': '1.4.0',
}
# What a package imports but does not declare, and the command to install it.
NEEDED = {
    'mmsegmentation': (('ftfy', 'regex'), 'pip install ftfy regex'),
    'mmdet3d': (
        (
            'cachetools',
            'lyft-dataset-sdk',
            'numba',
            'nuscenes-devkit',
            'pyquaternion',
            'scikit-image',
            'trimesh',
        ),
        "pip install '.[detection3d]' && pip install --no-deps "
        'nuscenes-devkit lyft-dataset-sdk',
    ),
}
# By extra: the packages that it installs.
USES = {
    'detection': ('mmdet', 'mmcv', 'torchvision'),
    'classification': ('mmpretrain', 'torchvision'),
    'segmentation': ('mmsegmentation', 'mmcv'),
    'detection3d': ('mmdet3d', 'mmcv'),
    'export': ('nncf', 'onnx', 'onnxruntime', 'onnxscript', 'openvino'),
    'analysis': ('grad-cam', 'matplotlib', 'scikit-learn', 'tensorboard'),
    'hub': ('huggingface_hub', 'safetensors'),
    'mim': ('openmim',),
}
OTHERS = (
    'mmcv-lite',
    'numpy',
    'opencv-python',
    'setuptools',
    'timm',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmdetection',
)
# These may be installed and still fail to import.
PROBES = ('torch', 'torchvision', 'cv2', 'mmcv._ext', 'pkg_resources')


def installed() -> dict[str, str]:
    """Find the versions of the installed ones of the packages above."""
    found = {'python': platform.python_version()}
    needed = [name for names, _ in NEEDED.values() for name in names]
    for name in (*KNOWN_GOOD, *OTHERS, *needed):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def failures() -> dict[str, str]:
    """Import :data:`PROBES`; return the errors of those that fail."""
    failed = {}
    for name in PROBES:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken extension raises anything
            failed[name] = str(error)
    return failed


def cuda() -> dict[str, str | None]:
    """Find the CUDA versions of torch and mmcv's ops, GPU and driver."""
    import torch

    found = {
        'torch': torch.version.cuda,
        'gpu': str(torch.cuda.is_available()),
        'driver': shutil.which('nvidia-smi'),
    }
    try:
        from mmcv.ops import get_compiling_cuda_version
    except ImportError:
        return found
    return found | {'mmcv': get_compiling_cuda_version()}


def missing() -> Iterator[tuple[str, str]]:
    """Find what is not installed.

    Yields:
        tuple[str, str]: The name of an extra, and its missing packages.
    """
    for use, packages in USES.items():
        absent = []
        for name in packages:
            try:
                version(name)
            except PackageNotFoundError:
                absent.append(name)
        if absent:
            yield use, ', '.join(absent)


def number(text: str) -> tuple[int, ...]:
    """Read the version ``'2.14.1+cpu'`` as ``(2, 14, 1)``."""
    return tuple(int(n) for n in re.findall(r'\d+', text.split('+')[0])[:3])


def problems(
    found: dict[str, str],
    failed: dict[str, str],
    cuda: dict[str, str | None],
) -> Iterator[tuple[str, str]]:
    """Find what is wrong.

    Args:
        found (dict[str, str]): Versions, from :func:`installed`.
        failed (dict[str, str]): Failed imports, from :func:`failures`.
        cuda (dict[str, str | None]): From :func:`cuda`, or empty.

    Yields:
        tuple[str, str]: The problem, and its remedy.
    """
    build = 'python tools/install_mmcv.py'
    have = {name: number(text) for name, text in found.items()}
    torch = have.get('torch')
    if have['python'] < (3, 10):
        yield f'Python {found["python"]} is too old', 'use 3.10 or newer'
    if not torch:
        yield 'torch is not installed', 'pip install torch torchvision'
    elif torch < (2, 6):
        yield f'torch {found["torch"]} is too old', 'pip install -U torch'
    elif 'torch' in failed:
        yield (
            f'torch does not load: {failed["torch"]}',
            'pip install --force-reinstall torch torchvision',
        )
    if 'mmengine' not in have and 'onedl-mmengine' not in have:
        yield 'mmengine is not installed', 'pip install mmengine'
    vision = have.get('torchvision')
    if torch and vision and (torch[0] != 2 or vision[1] != torch[1] + 15):
        yield (
            f'torchvision {found["torchvision"]} does not belong to torch '
            f'{found["torch"]}',
            f'pip install torch=={found["torch"]} torchvision',
        )
    if 'mmcv' in have and 'mmcv-lite' in have:
        yield (
            'mmcv and mmcv-lite are both installed, in the same folder',
            f'pip uninstall -y mmcv mmcv-lite && {build}',
        )
    elif not {'mmcv', 'mmcv-lite', 'onedl-mmcv'} & have.keys():
        yield 'mmcv is not installed', build
    elif 'mmcv._ext' in failed and 'mmdet' in have:
        yield (
            f'mmdet needs the ops of mmcv: {failed["mmcv._ext"]}',
            f'pip uninstall -y mmcv mmcv-lite && {build}',
        )
    if 'mmdet' in have and have.get('mmcv', ()) >= (2, 2):
        yield (
            f'mmdet {found["mmdet"]} refuses mmcv {found["mmcv"]}',
            f'pip uninstall -y mmcv && {build}',
        )
    for name, (needed, remedy) in NEEDED.items():
        missing = [n for n in needed if name in found and n not in found]
        if missing:
            yield f'{name} imports {", ".join(missing)}: not installed', remedy
    if 'pkg_resources' in failed:
        yield (
            'pkg_resources is missing, which mim and mmengine import for '
            '`mmdet::` bases',
            "pip install 'setuptools>=77.0.3,<81'",
        )
    if 'cv2' in failed:
        yield (
            f'opencv does not load: {failed["cv2"]}',
            'pip install --force-reinstall --no-deps opencv-python-headless',
        )
    ops = cuda.get('mmcv')
    if cuda.get('gpu') == 'True' and ops and ops != cuda['torch']:
        yield (
            f'torch has CUDA {cuda["torch"]} and the ops of mmcv {ops}',
            f'pip uninstall -y mmcv && {build}',
        )
    if cuda.get('driver') and cuda.get('gpu') == 'False':
        yield (
            f'a GPU driver is installed, but torch (CUDA {cuda["torch"]}) '
            'finds no GPU',
            'install the torch of your CUDA version from pytorch.org, or '
            'update the driver',
        )


def main() -> int:
    """Print the report."""
    argparse.ArgumentParser(
        description='List what is installed, and what of it will not work'
    ).parse_args()
    found, failed = installed(), failures()
    print('installed, and the known-good set:')
    for name in ('python', *KNOWN_GOOD, *OTHERS):
        if name in KNOWN_GOOD or name in found:
            good = KNOWN_GOOD.get(name, '3.11' if name == 'python' else '')
            print(f'  {name:18} {found.get(name, "-"):12} {good}'.rstrip())
    state = {} if 'torch' in failed else cuda()
    wrong = list(problems(found, failed, state))
    for problem, remedy in wrong:
        print(f'wrong: {problem}; remedy: {remedy}')
    for use, packages in missing():
        print(f"not for {use}: {packages}; pip install 'mmvovnet[{use}]'")
    if not wrong:
        print('nothing is wrong with what is installed')
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(main())
