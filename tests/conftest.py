"""What all tests share."""

import gc
from functools import cache

import pytest

# Imports of seconds wait until a test needs them: the process that hands the
# tests out runs none.


def pytest_collection_finish():
    """Let the garbage collector pass over what all imports made."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    import torch

    if item.get_closest_marker('cuda') and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')


@pytest.fixture(autouse=True, scope='session')
def packages_are_looked_up_once():
    """A config that inherits from mmdet reads its 100 metafiles each time.

    It also loads pkg_resources again, to see whether mmdet is installed.
    """
    from mmengine.config import config, utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', cache(utils.load))
        patch.setattr(config, 'is_installed', cache(config.is_installed))
        yield


@pytest.fixture(scope='session')
def published_folder(tmp_path_factory):
    return tmp_path_factory.mktemp('published')


@pytest.fixture(scope='module')
def published(published_folder):
    """Random weights in the names of each public file, in place of it."""
    import torch

    from mmvovnet import VoVNet
    from mmvovnet.weights import convert
    from mmvovnet.weights.public import PublicFile

    folder = published_folder

    def fetch(file):
        path = folder / f'{file.name}.pth'
        if not path.exists():
            state = VoVNet(**file.options).state_dict()
            torch.save(convert(state, to=file.dialect), path)
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PublicFile, 'fetch', fetch)
        yield
