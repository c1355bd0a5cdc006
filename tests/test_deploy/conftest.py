import pytest


@pytest.fixture
def photographs():
    """The sample photographs of scikit-learn, BGR."""
    datasets = pytest.importorskip('sklearn.datasets')
    return [i[..., ::-1].copy() for i in datasets.load_sample_images().images]
