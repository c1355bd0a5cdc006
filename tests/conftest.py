"""What all tests share."""

from functools import cache

import pytest
import torch
from mmengine.config import utils


def pytest_runtest_setup(item):
    if item.get_closest_marker('cuda') and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')


@pytest.fixture(autouse=True, scope='session')
def metafiles_are_read_once():
    """A config that inherits from mmdet reads its 100 metafiles each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', cache(utils.load))
        yield
