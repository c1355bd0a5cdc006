"""Recorded outputs of other networks, by ``from_pretrained`` alone."""

from unittest.mock import patch

import pytest
import torch

import mmvovnet.engine  # noqa: F401, load_checkpoint
from mmvovnet import VoVNet
from mmvovnet.weights import CheckpointError, convert

from .peers import TINY, fill, load_recorded

STAGES = ('stage2', 'stage3', 'stage4', 'stage5')


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('pcv_vovnet27s', {}),
        ('vt_27slim', dict(pool_padding=1, identity='every')),
        ('vt_19slimese', dict(pool_padding=1, identity='every')),
    ],
)
def test_names_tell_the_network(name, options, tmp_path):
    state, image, outputs = load_recorded(name)
    path = tmp_path / 'weights.pth'
    torch.save(state, path)
    model = VoVNet.from_pretrained(path, out_indices=(0, 1, 2, 3)).eval()
    for stage, ours in zip(STAGES, model(image), strict=True):
        theirs = torch.as_tensor(outputs[stage])
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
    for option, value in options.items():
        assert model.arch.get(option, getattr(model, option, None)) == value


@pytest.mark.parametrize(
    ('name', 'dialect'),
    [
        ('pcv_vovnet27s', 'pytorchcv'),
        ('vt_27slim', 'vision-toolbox'),
        ('vt_19slimese', 'vision-toolbox'),
    ],
)
def test_conversion_back(name, dialect):
    state, _, _ = load_recorded(name)
    ours = convert(state)
    assert ('head.fc.weight' in ours) == ('output.weight' in state)
    again = convert(ours, to=dialect)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)


MODULES = TINY | dict(num_modules=(1, 1, 2, 2))  # as V-39's


@pytest.mark.parametrize(
    'source',
    [dict(gate='eSE', gate_place='last'), dict(gate='none')],
    ids=['timm', 'V1'],
)
def test_gates_that_weights_lack_start_open(source, tmp_path):
    theirs = VoVNet(MODULES, **source).eval()
    shapes = {k: v.shape for k, v in theirs.state_dict().items()}
    theirs.load_state_dict(fill(shapes))
    path = tmp_path / 'weights.pth'
    torch.save(convert(theirs.state_dict(), to='detectron2'), path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    ours = VoVNet(MODULES, gate='eSE', init_cfg=init_cfg)
    ours.init_weights()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pairs = zip(ours.eval()(image), theirs(image), strict=True)
        for out, expected in pairs:
            assert (out - expected).abs().max() <= 0.01 * expected.abs().max()
    ours.train()(image)[-1].square().mean().backward()
    gates = [n for n, _ in ours.named_parameters() if '.gate.' in n]
    assert len(gates) == 12
    for name, parameter in ours.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_gates_stay_missing_where_a_model_is_used():
    state = VoVNet(MODULES, gate='eSE', gate_place='last').state_dict()
    with pytest.raises(CheckpointError, match="gate_place='last'"):
        VoVNet(MODULES, gate='eSE').load_state_dict(convert(state, 'timm'))


def test_open_gates_keep_the_word_of_their_code(tmp_path):
    """timm's V1 adds no identity, whatever the model's gate is."""
    theirs = VoVNet(MODULES, identity=False)
    path = tmp_path / 'weights.pth'
    torch.save(convert(theirs.state_dict(), to='timm'), path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    with patch('mmvovnet.weights.backbone.print_log') as log:
        VoVNet(MODULES, gate='eSE', init_cfg=init_cfg).init_weights()
    said = ' '.join(call.args[0] for call in log.call_args_list)
    assert 'set identity=False' in said
