import json
import re
import subprocess
import sys

import pytest

from mmvovnet.registry import MODELS

# What a process holds that importing a package could change.
STATE = """
import json
import os
import sys

import mmcv.cnn
import mmengine.dataset
import mmengine.device
import mmengine.hooks
import mmengine.model
import mmengine.registry
import mmengine.runner
import torch
from mmengine.fileio.backends import registry_utils
from mmengine.utils import import_modules_from_strings


def state():
    places = {
        f'{registry.name}s of {scope}': nodes._module_dict
        for registry in vars(mmengine.registry).values()
        if isinstance(registry, mmengine.registry.Registry)
        for scope, nodes in {'mmengine': registry, **registry.children}.items()
    }
    places['schemes'] = mmengine.runner.CheckpointLoader._schemes
    places['backends'] = registry_utils.backends
    places['prefixes'] = registry_utils.prefix_to_backends
    places['environment'] = os.environ
    places['safe globals'] = dict.fromkeys(
        map(str, torch.serialization.get_safe_globals())
    )
    return {
        (place, name): repr(value)
        for place, values in places.items()
        for name, value in values.items()
    }


def changes(before):
    after = state()
    assert before.keys() <= after.keys()
    return sorted(k for k, v in after.items() if v != before.get(k))


stock = state()
import mmvovnet
optional = ['mmdet', 'mmpretrain', 'mmseg', 'pycocotools', 'sklearn', 'timm']
imported = [name for name in optional if name in sys.modules]
named = state()
by_name = changes(stock)
import_modules_from_strings(['mmvovnet.engine'])
explicit = changes(named)
engine = state()
import_modules_from_strings(['mmvovnet.engine'])
import mmvovnet.engine
again = changes(engine)
sys.modules['mmdet'] = None
MODELS = mmengine.registry.MODELS
MODELS.build(dict(type='mmvovnet.VoVNet'))
try:
    MODELS.build(dict(type='mmvovnet.RefineDet'))
except ImportError as error:
    missing = str(error)
print(json.dumps([by_name, explicit, again, imported, missing]))
"""
# A config of mmdet names the backbone, then a detector and a data set.
MMDET = """
import sys

from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.utils import import_modules_from_strings

DefaultScope.get_instance('test', scope_name='mmdet')
import_modules_from_strings(['mmvovnet'])
net = MODELS.build(dict(type='VoVNet', arch='V-27-slim'))
print(type(net).__module__, MODELS.get('VoVNet') is type(net))
from mmvovnet.weights import convert
net.load_state_dict(convert(net.state_dict(), to='timm'))
print(net.pixels[0].order, 'mmvovnet.engine' in sys.modules)
print(MODELS.get('mmvovnet.RefineDet').__module__)
print(DATASETS.get('mmvovnet.CheckedXMLDataset').__module__)
"""
SCHEMES = [
    '',
    'hf-hub:',
    'hf_hub:',
    'http://',
    'https://',
    'mmcls://',
    'modelzoo://',
    'open-mmlab://',
    'openmmlab://',
    'timm/',
    'timm://',
    'torchvision://',
    'vovnet://',
]


def run(code):
    return subprocess.run(
        [sys.executable, '-c', code],
        text=True,
        capture_output=True,
        check=True,
    ).stdout


def test_import_registers_names_and_the_engine_changes_mmengine():
    by_name, explicit, again, imported, missing = json.loads(run(STATE))
    assert by_name == [['models of mmengine', 'VoVNet']]
    ours = [item for item in explicit if item[0].endswith(' of mmvovnet')]
    assert ['hooks of mmvovnet', 'InterruptHook'] in ours
    assert [i for i in explicit if not i[0].endswith(' of mmvovnet')] == [
        ['backends', 'local'],
        ['hooks of mmengine', 'CheckpointHook'],
        ['hooks of mmengine', 'DistSamplerSeedHook'],
        ['loops of mmengine', 'EpochBasedTrainLoop'],
        ['models of mmengine', 'VoVNet'],  # the class, once imported
        ['prefixes', ''],
        *[['schemes', scheme] for scheme in SCHEMES],
        ['strategys of mmengine', 'FSDPStrategy'],
        ['transforms of mmengine', 'LoadImageFromFile'],
    ]
    assert again == []
    assert imported == []  # `import mmvovnet` alone needs none of these
    assert "'mmvovnet.RefineDet' is not found" in missing
    assert re.search('mmvovnet.models.refinedet: .*mmdet', missing)
    assert "pip install 'mmvovnet[detection]'" in missing


def test_import_takes_no_more_than_the_registry():
    loaded = run(
        'import sys\n'
        'import mmvovnet.deploy\n'
        "print('torch' in sys.modules, 'mmcv' in sys.modules)\n"
        "sys.modules['mmengine'] = None  # as where it is not installed\n"
        'for name in list(sys.modules):\n'
        "    if name.startswith('mmvovnet'):\n"
        '        del sys.modules[name]\n'
        'import mmvovnet.deploy\n'
        "print('mmvovnet.registry' in sys.modules)\n"
    )
    assert loaded.split() == ['False', 'False', 'False']


def test_names_in_a_config_of_mmdet():
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    lines = run(MMDET).splitlines()
    # What loading logs is between them.
    assert [lines[0], *lines[-3:]] == [
        'mmvovnet.models.vovnet True',
        'RGB False',
        'mmvovnet.models.refinedet.detector',
        'mmvovnet.datasets.checked',
    ]


def test_missing_dependency_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmvovnet.models.refinedet', None)
    # Others would register their classes in what this test throws away.
    locations = ('mmvovnet.models.refinedet',)
    monkeypatch.setattr(MODELS, '_lazy_locations', locations)
    monkeypatch.setattr(MODELS, '_module_dict', {})
    with pytest.raises(
        ImportError, match=r'mmvovnet\.RefineDet.*mmvovnet\[detection\]'
    ):
        MODELS.get('RefineDet')


def test_unknown_names_stay_unknown(monkeypatch):
    monkeypatch.setattr(MODELS, '_lazy_locations', ('mmvovnet.models',))
    assert MODELS.get('mmvovnet.VovNet') is None
    assert MODELS.get('NoSuchModel') is None
