import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import toy


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """The folder of what toy.py trained."""
    folder = tmp_path_factory.mktemp('trained')
    subprocess.run(
        [sys.executable, Path(toy.__file__), folder],
        check=True,
        env=os.environ | dict(CUDA_VISIBLE_DEVICES='-1'),  # it forks
    )
    return folder


@pytest.fixture
def build(tmp_path):
    """Builds a runner of the toy training, with changes to its config."""

    def build(**changes):
        name = dict(experiment_name=f'{tmp_path.name}-{len(changes)}')
        return toy.RUNNERS.build(toy.config(tmp_path) | name | changes)

    return build
