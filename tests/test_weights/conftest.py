import logging

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def messages():
    """What is logged, as (level, message)."""
    found = []

    class Handler(logging.Handler):
        def emit(self, record):
            found.append((record.levelname, record.getMessage()))

    handler = Handler()
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
