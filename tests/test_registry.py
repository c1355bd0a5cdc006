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
print(json.dumps([by_name, explicit, changes(engine), imported]))
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
    by_name, explicit, again, imported = json.loads(run(STATE))
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


@pytest.mark.parametrize(
    ('asked', 'name', 'scope'),
    [
        ('mmvovnet', 'VoVNet', 'mmdet'),
        ('mmengine', 'mmvovnet.VoVNet', 'mmengine'),
    ],
)
def test_a_config_finds_the_backbone(asked, name, scope):
    if scope == 'mmdet':
        pytest.importorskip('mmdet', reason='mmdet is not installed')
    kind = run(
        'from mmengine.registry import MODELS, DefaultScope\n'
        'from mmengine.utils import import_modules_from_strings\n'
        f"DefaultScope.get_instance('test', scope_name='{scope}')\n"
        f"import_modules_from_strings(['{asked}'])\n"
        f"net = MODELS.build(dict(type='{name}', arch='V-27-slim'))\n"
        "print(type(net).__module__, MODELS.get('VoVNet') is type(net))\n"
        'import sys\n'
        'from mmvovnet.weights import convert\n'
        "net.load_state_dict(convert(net.state_dict(), to='timm'))\n"
        "print(net.pixels[0].order, 'mmvovnet.engine' in sys.modules)\n"
    )
    first, *_, last = kind.splitlines()  # between them, what loading logs
    assert first == 'mmvovnet.models.vovnet True'
    assert last == 'RGB False'


def test_detectors_are_found_without_an_import():
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
    found = run(
        'import sys\n'
        'import mmengine.registry, mmvovnet\n'
        'get = mmengine.registry.MODELS.get\n'
        "print(get('mmvovnet.VoVNet').__module__, 'mmdet' in sys.modules)\n"
        "print(get('mmvovnet.RefineDet').__module__, 'mmdet' in sys.modules)\n"
        'get = mmengine.registry.DATASETS.get\n'
        "print(get('mmvovnet.CheckedXMLDataset').__module__)\n"
    )
    assert found.splitlines() == [
        'mmvovnet.models.vovnet False',
        'mmvovnet.models.refinedet.detector True',
        'mmvovnet.datasets.checked',
    ]


def test_missing_dependency_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmvovnet.models.refinedet', None)
    monkeypatch.setattr(MODELS, '_module_dict', {})
    with pytest.raises(
        ImportError, match=r'mmvovnet\.RefineDet.*mmvovnet\[detection\]'
    ):
        MODELS.get('RefineDet')


def test_missing_mmdet_is_named():
    reply = run(
        'import sys\n'
        "sys.modules['mmdet'] = None\n"
        'from mmengine.registry import MODELS\n'
        "MODELS.build(dict(type='mmvovnet.VoVNet'))\n"
        'try:\n'
        "    MODELS.build(dict(type='mmvovnet.RefineDet'))\n"
        'except ImportError as error:\n'
        '    print(error)\n'
    )
    assert "'mmvovnet.RefineDet' is not found" in reply
    assert re.search('mmvovnet.models.refinedet: .*mmdet', reply)
    assert "pip install 'mmvovnet[detection]'" in reply


def test_unknown_names_stay_unknown(monkeypatch):
    monkeypatch.setattr(MODELS, '_lazy_locations', ('mmvovnet.models',))
    assert MODELS.get('mmvovnet.VovNet') is None
    assert MODELS.get('NoSuchModel') is None
