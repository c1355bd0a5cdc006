"""The config files, and what all their tests read of them."""

import copy
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvovnet import tasks

ROOT = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(p for p in ROOT.glob('*/*.py') if p.parent.name != '_base_')
METAFILES = sorted(ROOT.rglob('metafile.yml'))


def name(path):
    return str(path.relative_to(ROOT))


def load(path):
    return copy.deepcopy(parse(path.resolve()))


@cache
def parse(path):
    try:
        return Config.fromfile(path)
    except (ModuleNotFoundError, AssertionError) as error:
        if 'is not installed' in str(error) or 'mmseg' in str(error):
            pytest.skip(str(error))
        raise


def leaves(node, key=''):
    """Every key and value of a config, those of nested ones too."""
    if isinstance(node, dict):
        for inner, value in node.items():
            yield from leaves(value, inner)
    elif isinstance(node, list | tuple) and any(
        isinstance(value, dict) for value in node
    ):
        for value in node:
            yield from leaves(value, key)
    else:
        yield key, node


def dataset_of(loader):
    """The data set itself, without what repeats it or joins several."""
    return next(tasks.leaves(loader.dataset))


def input_size(cfg):
    """Pixels that suffice; SSD's last conv needs all of the image."""
    return 300 if cfg.model.get('neck', {}).get('type') == 'SSDNeck' else 64
