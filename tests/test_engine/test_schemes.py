import os
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
import torch
from mmengine.runner import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
    load_checkpoint,
)
from torch import nn

import mmvovnet.engine  # noqa: F401
from mmvovnet import VoVNet
from mmvovnet.weights import (
    CheckpointError,
    UnsafeCheckpointError,
    convert,
    public,
)
from mmvovnet.weights.download import cached as cached_at
from mmvovnet.weights.public import public_file


class Evil:
    def __reduce__(self):
        return os.system, ('touch mark',)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder and its URL."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with HTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_local_file(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    source, target = nn.Linear(2, 2), nn.Linear(2, 2)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'a.pth')
    load_checkpoint(target, '~/a.pth', strict=True)
    assert target.weight.equal(source.weight)


def test_url_is_fetched_once(served):
    folder, url = served
    torch.save(dict(epoch=3), folder / 'a.pth')
    assert CheckpointLoader.load_checkpoint(f'{url}/a.pth') == dict(epoch=3)
    (folder / 'a.pth').unlink()
    assert CheckpointLoader.load_checkpoint(f'{url}/a.pth') == dict(epoch=3)


def test_urls_of_one_name(served):
    folder, url = served
    for epoch in (1, 2):
        (folder / f'{epoch}').mkdir()
        torch.save(dict(epoch=epoch), folder / f'{epoch}' / 'a.pth')
    for epoch in (1, 2, 1):
        loaded = CheckpointLoader.load_checkpoint(f'{url}/{epoch}/a.pth')
        assert loaded == dict(epoch=epoch)


def test_what_is_no_checkpoint_does_not_stay(served):
    folder, url = served
    torch.save(dict(epoch=3), folder / 'a.pth')
    whole = (folder / 'a.pth').read_bytes()
    for data in (whole[:-50], b'Please log in', b''):
        (folder / 'a.pth').write_bytes(data)
        with pytest.raises(CheckpointError, match=f'{url}/a.pth'):
            CheckpointLoader.load_checkpoint(f'{url}/a.pth')
    (folder / 'a.pth').write_bytes(whole)
    assert CheckpointLoader.load_checkpoint(f'{url}/a.pth') == dict(epoch=3)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Puts a file where a model of a zoo is looked for."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))

    def put(url, saved):
        path = cached_at(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(saved, path)

    return put


def test_nothing_that_is_fetched_runs(served, tmp_path, monkeypatch):
    folder, url = served
    monkeypatch.chdir(tmp_path)
    torch.save(dict(a=Evil()), folder / 'evil.pth')
    with pytest.raises(UnsafeCheckpointError, match='system'):
        CheckpointLoader.load_checkpoint(f'{url}/evil.pth')
    assert not (tmp_path / 'mark').exists()


@pytest.mark.parametrize(
    'zoo, models, name',
    [
        ('torchvision', get_torchvision_models, 'resnet18'),
        ('modelzoo', get_torchvision_models, 'resnet18'),
        ('open-mmlab', get_external_models, 'vgg16_caffe'),
        ('openmmlab', get_external_models, 'vgg16_caffe'),
        ('mmcls', get_mmcls_models, 'vgg11'),
    ],
)
def test_nothing_of_a_zoo_runs(
    cached, tmp_path, monkeypatch, zoo, models, name
):
    if models is get_torchvision_models:
        pytest.importorskip('torchvision')
    monkeypatch.chdir(tmp_path)
    cached(models()[name], Evil())
    with pytest.raises(UnsafeCheckpointError, match='system'):
        CheckpointLoader.load_checkpoint(f'{zoo}://{name}')
    assert not (tmp_path / 'mark').exists()


def test_names_of_zoos(cached):
    """mmcls:// gives the backbone alone; old names are known."""
    saved = dict(state_dict={'backbone.conv': 1, 'head.fc': 2})
    cached(get_mmcls_models()['vgg11'], saved)
    loaded = CheckpointLoader.load_checkpoint('mmcls://vgg11')
    assert loaded == dict(state_dict={'conv': 1})
    old, new = next(iter(get_deprecated_model_names().items()))
    cached(get_external_models()[new], dict(epoch=1))
    loaded = CheckpointLoader.load_checkpoint(f'openmmlab://{old}')
    assert loaded == dict(epoch=1)


def test_published_weights_by_name(served, monkeypatch):
    """In a config, a name of the table; the backbone takes them."""
    folder, url = served
    name = 'vovnet19_ese_slim_dw_detectron2'
    theirs = VoVNet('V-19-slim-dw-eSE').state_dict()
    torch.save(convert(theirs, 'detectron2'), folder / f'{name}.pth')
    row = public_file(name)._replace(urls=(f'{url}/{name}.pth',))
    table = public.public_files() | {name: row}
    monkeypatch.setattr(public, 'public_files', lambda: table)
    model = VoVNet(
        'V-19-slim-dw-eSE',
        init_cfg=dict(type='Pretrained', checkpoint=f'vovnet://{name}'),
    )
    model.init_weights()
    assert model.state_dict()['stem.0.conv.weight'].equal(
        theirs['stem.0.conv.weight']
    )
    with pytest.raises(CheckpointError, match=f"are 'vovnet://{name}'"):
        CheckpointLoader.load_checkpoint(name)
    with pytest.raises(CheckpointError, match="called 'resnet50'"):
        CheckpointLoader.load_checkpoint('vovnet://resnet50')
