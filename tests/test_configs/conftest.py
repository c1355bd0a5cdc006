import pytest
from mmengine.registry import DefaultScope, init_default_scope


@pytest.fixture
def scope():
    """The scope a config names, and none afterwards."""
    yield init_default_scope
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='module', autouse=True)
def weights(published):
    """What the configs start from is at hand."""
