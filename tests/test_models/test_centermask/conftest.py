import pytest
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def mmdet_scope():
    """What every config of a detector sets, whatever ran before."""
    init_default_scope('mmdet')
