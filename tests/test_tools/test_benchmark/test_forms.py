import copy

import pytest
import torch
from benchmark.forms import prepare

from tests.test_device.conftest import tiny


@pytest.mark.parametrize('mode', ['fuse', 'openvino'])
def test_inference_modes_compute_the_same(mode):
    if mode != 'fuse':
        pytest.importorskip(mode, reason=f'{mode} is not installed')
    model = tiny().eval()
    x = torch.rand(1, 3, 64, 96)
    deployed = prepare(copy.deepcopy(model), f'V-39+{mode}', x)
    assert deployed is not model
    with torch.no_grad():
        for out, expected in zip(deployed(x), model(x), strict=True):
            scale = expected.abs().max()
            assert (out - expected).abs().max() <= 1e-4 * scale


@pytest.mark.slow
def test_freeze_makes_constants_of_weights():
    """Weights that are zeroed afterwards make zeros only where not frozen."""
    model = tiny()
    x = torch.rand(1, 3, 64, 64)
    frozen = prepare(copy.deepcopy(model), 'V-39+freeze', x)
    with torch.no_grad():
        expected = model.eval()(x)[-1]
        torch.testing.assert_close(frozen(x)[-1], expected)
        for net in (model, frozen):
            for parameter in net.parameters():
                parameter.zero_()
        assert not model(x)[-1].any()
        assert frozen(x)[-1].any()


@pytest.mark.parametrize(
    'form',
    [
        '+fuse+bf16',
        # tests/test_deploy/test_quantize.py quantizes the same way.
        pytest.param('+onnx+int8', marks=pytest.mark.slow),
    ],
)
def test_lower_precision_is_near_and_not_the_same(form):
    if 'onnx' in form:
        pytest.importorskip('onnxruntime')
    model = tiny().eval()
    x = torch.rand(1, 3, 64, 64)
    deployed = prepare(copy.deepcopy(model), f'V-39{form}', x)
    with torch.no_grad():
        actual, expected = deployed(x)[-1].float(), model(x)[-1]
    error = (actual - expected).norm() / expected.norm()
    assert 1e-4 < error < 0.2


def test_int8_is_for_files():
    with pytest.raises(ValueError, match='int8 is for the modes onnx'):
        prepare(tiny(), 'V-39+fuse+int8', torch.rand(1, 3, 64, 64))
