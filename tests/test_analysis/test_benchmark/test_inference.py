import copy

import pytest
import torch

from mmvovnet.analysis.benchmark import build_row
from mmvovnet.analysis.benchmark.inference import prepare


@pytest.mark.parametrize('mode', ['fuse', 'onnx', 'openvino'])
def test_inference_modes_compute_the_same(mode):
    if mode != 'fuse':
        pytest.importorskip(mode, reason=f'{mode} is not installed')
    row = f'V-19-slim-eSE+{mode}'
    torch.manual_seed(0)
    model = build_row('V-19-slim-eSE').eval()
    deployed = prepare(copy.deepcopy(model), row)
    assert deployed is not model
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for out, expected in zip(deployed(x), model(x), strict=True):
            scale = expected.abs().max()
            assert (out - expected).abs().max() <= 1e-4 * scale


@pytest.mark.slow
def test_freeze_makes_constants_of_weights():
    """Weights that are zeroed afterwards make zeros only where not frozen."""
    torch.manual_seed(0)
    model = build_row('V-19-slim-eSE')
    frozen = prepare(copy.deepcopy(model), 'V-19-slim-eSE+freeze')
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.eval()(x)[-1]
        torch.testing.assert_close(frozen(x)[-1], expected)
        for net in (model, frozen):
            for parameter in net.parameters():
                parameter.zero_()
        assert not model(x)[-1].any()
        assert frozen(x)[-1].any()
