import pytest

from mmvovnet.models.archs import ARCHS, resolve_arch


def test_the_family():
    assert list(ARCHS) == [
        'V-27-slim',
        'V-39',
        'V-57',
        'V-93',
        'V-99',
        'V-19-slim-dw-eSE',
        'V-19-dw-eSE',
        'V-19-slim-eSE',
        'V-19-eSE',
        'V-39-eSE',
        'V-57-eSE',
        'V-99-eSE',
    ]


@pytest.mark.parametrize('name', ARCHS)
def test_name_counts_the_convs(name):
    row = ARCHS[name]
    convs = 3 + sum(row['num_modules']) * (row['num_layers'] + 1)
    assert int(name.split('-')[1]) == convs
    assert name.endswith('eSE') == (row['gate'] == 'eSE')


def test_overrides_leave_the_table_alone():
    row = resolve_arch('V-39', gate='SE', identity=False, gate_place=None)
    assert (row['gate'], row['identity']) == ('SE', False)
    assert row['gate_place'] == 'every'
    assert ARCHS['V-39']['gate'] == 'none'


def test_dict_gets_defaults():
    arch = {k: v for k, v in ARCHS['V-39'].items() if k != 'identity'}
    before = dict(arch)
    assert resolve_arch(arch) == ARCHS['V-39']
    assert arch == before


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(num_layers=0), 'num_layers'),
        (dict(num_layers=True), 'num_layers'),
        (dict(conv_channels=(64, 80.0, 96, 112)), 'conv_channels'),
        (dict(out_channels=()), 'out_channels'),
        (dict(num_modules=(1, 1)), 'of one length'),
        (dict(stem_channels=(64, 64)), '3 values'),
        (dict(gate_place='first'), 'gate_place'),
        (dict(num_layers=(5, 5)), "arch\\['num_layers'\\] must be a p"),
        (dict(stem_channels=64), "arch\\['stem_channels'\\] must be a seq"),
        (dict(num_modules=1), "arch\\['num_modules'\\] must be a seq"),
    ],
)
def test_wrong_dict(change, message):
    with pytest.raises(ValueError, match=message):
        resolve_arch({**ARCHS['V-27-slim'], **change})


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(num_module=(1, 1, 1, 1)), "no fields \\['num_module'\\]"),
        (dict(depthwise='False'), "must be True or False, got 'False'"),
    ],
)
def test_wrong_kind(change, message):
    with pytest.raises(TypeError, match=message):
        resolve_arch({**ARCHS['V-27-slim'], **change})


def test_incomplete_dict_names_what_is_missing():
    arch = dict(ARCHS['V-39'])
    del arch['out_channels']
    with pytest.raises(ValueError, match='out_channels'):
        resolve_arch(arch)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r'V-40.*V-39-eSE'):
        resolve_arch('V-40')


def test_wrong_type():
    with pytest.raises(TypeError, match='int'):
        resolve_arch(39)
