"""What all tests share."""

from functools import cache

import pytest
import torch
from mmengine.config import utils

from mmvovnet import VoVNet
from mmvovnet.weights import convert
from mmvovnet.weights.public import PublicFile


def pytest_runtest_setup(item):
    if item.get_closest_marker('cuda') and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')


@pytest.fixture(autouse=True, scope='session')
def metafiles_are_read_once():
    """A config that inherits from mmdet reads its 100 metafiles each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', cache(utils.load))
        yield


@pytest.fixture(scope='session')
def published_folder(tmp_path_factory):
    return tmp_path_factory.mktemp('published')


@pytest.fixture(scope='module')
def published(published_folder):
    """Random weights in the names of each public file, in place of it."""
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
