import copy

import pytest
import torch

from mmvovnet import VoVNet

from .conftest import TINY, error, images, step

# Inductor adds nothing to what breaks a graph, and takes minutes on a CPU.
BACKENDS = dict(cpu='eager', cuda='inductor')
ARCHS = (
    TINY | dict(gate='eSE', depthwise=True),
    # tests/test_models/test_vovnet.py compiles one without gates, too.
    pytest.param(TINY, marks=pytest.mark.slow),
    pytest.param('V-39-eSE', marks=pytest.mark.slow),
)


@pytest.fixture(autouse=True)
def forget_other_models():
    torch.compiler.reset()


@pytest.mark.parametrize('arch', ARCHS, ids=['depthwise', 'V1', 'V-39'])
@pytest.mark.parametrize('mode', ['eval', 'train'])
def test_one_graph_for_all_sizes(device, arch, mode):
    torch.manual_seed(0)
    plain = VoVNet(arch).train(mode == 'train').to(device)
    plain.to(memory_format=torch.channels_last)
    model = copy.deepcopy(plain)
    graphs = []

    def count(*args):
        graphs.append(args)
        return torch._dynamo.lookup_backend(BACKENDS[device])(*args)

    model.compile(fullgraph=True, dynamic=True, backend=count)
    for size in (64, 96):
        x = images(device, size=size)
        if mode == 'eval':
            with torch.no_grad():
                assert error(model(x), plain(x)) < 1e-3
            continue
        (outs, grads), expected = step(model, x), step(plain, x)
        assert error(outs, expected[0]) < 1e-3
        assert error(grads, expected[1]) < 1e-2
    assert len(graphs) == 1
