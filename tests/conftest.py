"""What all tests share."""

from functools import cache

import pytest
from mmengine.config import utils


@pytest.fixture(autouse=True, scope='session')
def metafiles_are_read_once():
    """A config that inherits from mmdet reads its 100 metafiles each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', cache(utils.load))
        yield
