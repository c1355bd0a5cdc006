import pytest

from mmvovnet import VoVNet
from mmvovnet.deploy import export

from .small import ARCH, settle


@pytest.fixture
def photographs():
    """The sample photographs of scikit-learn, BGR."""
    datasets = pytest.importorskip('sklearn.datasets')
    return [i[..., ::-1].copy() for i in datasets.load_sample_images().images]


@pytest.fixture(scope='session')
def backbone():
    """A small backbone of two stages."""
    return settle(VoVNet(arch=ARCH, out_indices=(0, 1)))


@pytest.fixture(scope='session')
def onnx_backbone(backbone, tmp_path_factory):
    """Its file in ONNX, which takes long to write."""
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    path = tmp_path_factory.mktemp('onnx') / 'model.onnx'
    export(backbone, path, metadata=dict(mean=[1.5]), size=(64, 96))
    return path
