import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmvovnet import VoVNet
from mmvovnet.weights import (
    CheckpointError,
    convert,
    dialects,
    public,
)
from mmvovnet.weights.download import fetch
from mmvovnet.weights.public import locate, public_file

from .server import hub_error, hub_file, page, serve, status, whole

IMAGES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope='module')
def timm_file(tmp_path_factory):
    """ese_vovnet19b_dw as timm saves it for the hub, and its features."""
    timm = pytest.importorskip('timm')
    from timm.models._hub import save_for_hf

    torch.manual_seed(0)
    model = timm.create_model('ese_vovnet19b_dw.ra_in1k', pretrained=False)
    folder = tmp_path_factory.mktemp('hub')
    save_for_hf(model, folder, safe_serialization=True)
    features = timm.create_model('ese_vovnet19b_dw', features_only=True)
    features.load_state_dict(
        {k.replace('stages.', 'stages_').replace('stem.', 'stem_'): v
         for k, v in model.state_dict().items()},
        strict=False,
    )  # fmt: skip
    model.eval()
    with torch.no_grad():
        last = model.forward_features(IMAGES)
    return folder, last


@pytest.fixture
def row(monkeypatch, tmp_path):
    """Puts one row of the table on a server of ours."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    table = dict(public.public_files())
    monkeypatch.setattr(public, 'public_files', lambda: table)

    def change(name, url, **fields):
        fields['urls'] = (url,)
        table[name] = table[name]._replace(**fields)

    return change


def saved(state, tmp_path):
    path = tmp_path / 'saved.pth'
    torch.save(state, path)
    return path.read_bytes()


def test_a_name_gives_model_and_weights(row, tmp_path):
    """Of detectron2's names, with what the table says of pixels."""
    ours = VoVNet('V-19-slim-dw-eSE').eval()
    content = saved(convert(ours.state_dict(), 'detectron2'), tmp_path)
    name = 'vovnet19_ese_slim_dw_detectron2'
    with serve({f'/s/{name}.pth': (content, whole)}) as (url, requests):
        row(name, f'{url}/s/{name}.pth?dl=1')
        model = VoVNet.from_pretrained(name, out_indices=(1, 3))
        VoVNet.from_pretrained(f'{name}.pth')
    assert len(requests) == 1  # the second from the cache
    assert model.out_indices == (1, 3)
    assert model.pixels == (dialects.DETECTRON2,)
    with torch.no_grad():
        expected, found = ours(IMAGES), model.eval()(IMAGES)
    assert found[0].equal(expected[1]) and found[1].equal(expected[3])
    before = model.stem[0].conv.weight.clone()
    model.init_weights()
    assert model.stem[0].conv.weight.equal(before)


@pytest.mark.parametrize(
    ('arch', 'dialect', 'identity'),
    [('V-27-slim', 'timm', False), ('V-27-slim', 'torchvision', True)],
)
def test_what_weights_cannot_tell_is_set(arch, dialect, identity, tmp_path):
    """timm's V1 networks add no identity."""
    path = tmp_path / 'weights.pth'
    torch.save(convert(VoVNet(arch).state_dict(), dialect), path)
    model = VoVNet.from_pretrained(path)
    assert model.arch['identity'] is identity


def test_a_whole_model_gives_its_backbone(tmp_path):
    ours = VoVNet('V-27-slim', bottleneck=True)
    state = {f'backbone.{k}': v for k, v in ours.state_dict().items()}
    state['bbox_head.conv.weight'] = torch.zeros(2)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=state, meta={}), path)
    model = VoVNet.from_pretrained(path)
    assert model.stem[0].conv.weight.equal(ours.stem[0].conv.weight)


def test_options_that_contradict_the_weights(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(VoVNet('V-27-slim').state_dict(), path)
    with pytest.raises(CheckpointError, match="set arch='V-27-slim'"):
        VoVNet.from_pretrained(path, arch='V-39')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (
            'ese_vovnet39',
            "'ese_vovnet39'. Names like it are .*ese_vovnet39b.ra_in1k",
        ),
        ('resnet50', 'no published weights are called'),
        ('weights/missing.pth', 'There is no checkpoint'),
        ('timm://vovnet39a', "'vovnet39a'. Names like it are .*vovnet39"),
        ('timm/ese_vovnet40b', 'Names like it are ese_vovnet39b'),
        ('hf-hub:ese_vovnet39b', 'the form is hf-hub:USER/REPOSITORY'),
        ('hf_hub:ese_vovnet39b', 'the form is hf-hub:USER/REPOSITORY'),
    ],
)
def test_names_that_are_not_there(name, message):
    with pytest.raises((CheckpointError, FileNotFoundError), match=message):
        VoVNet.from_pretrained(name)


@pytest.mark.parametrize(
    ('saved', 'message'),
    [
        (torch.nn.Linear(2, 2).state_dict(), 'holds no VoVNet'),
        ([torch.ones(2)], 'is a list in place of a dict of weights'),
    ],
)
def test_a_file_of_something_else(saved, message, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match=message):
        VoVNet.from_pretrained(path)


@pytest.mark.parametrize(
    ('respond', 'message'),
    [
        (status(404), 'HTTP Error 404'),
        (status(403), '403'),
        (page, 'web page'),
    ],
)
def test_a_dead_link_says_what_to_do(row, respond, message):
    name = 'vovnet19_ese_slim_dw_detectron2'
    with (
        serve({f'/{name}.pth': (b'', respond)}) as (url, _),
        pytest.raises(CheckpointError, match=message) as caught,
    ):
        row(name, f'{url}/{name}.pth')
        VoVNet.from_pretrained(name)
    said = str(caught.value)
    assert f'{url}/{name}.pth' in said and public_file(name).source in said
    put = Path(said.split("'")[-2])  # where to put it
    assert put.name == f'{name}.pth'
    put.parent.mkdir(parents=True, exist_ok=True)
    ours = VoVNet('V-19-slim-dw-eSE')
    torch.save(ours.state_dict(), put)
    model = VoVNet.from_pretrained(name)
    assert model.stem[0].conv.weight.equal(ours.stem[0].conv.weight)


def test_a_wrong_hash_leaves_nothing(row, tmp_path):
    name = 'ese_vovnet19b_dw-a8741004'
    with serve({f'/{name}.pth': (b'x' * 100, whole)}) as (url, _):
        row(name, f'{url}/{name}.pth')
        with pytest.raises(CheckpointError, match='a8741004'):
            VoVNet.from_pretrained(name)
    assert not [p for p in (tmp_path / 'torch').rglob('*') if p.is_file()]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's library with a cache and a server of ours."""
    constants = pytest.importorskip('huggingface_hub').constants
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hf'))
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)

    def connect(url):
        monkeypatch.setattr(constants, 'ENDPOINT', url)
        monkeypatch.setattr(
            constants,
            'HUGGINGFACE_CO_URL_TEMPLATE',
            url + '/{repo_id}/resolve/{revision}/{filename}',
        )

    return constants, connect


TIMM = 'ese_vovnet19b_dw.ra_in1k'


def test_hub(hub, timm_file, monkeypatch):
    """From the hub, and then from its cache without a network."""
    constants, connect = hub
    # A fresh process has not imported them.
    monkeypatch.delattr('huggingface_hub.constants', raising=False)
    monkeypatch.delattr('huggingface_hub.errors', raising=False)
    folder, last = timm_file
    content = (folder / 'model.safetensors').read_bytes()
    where = f'/timm/{TIMM}/resolve/main/model.safetensors'
    with serve({where: (content, hub_file)}) as (url, _):
        connect(url)
        model = VoVNet.from_pretrained(TIMM, out_indices=(3,)).eval()
    assert model.pixels == (dialects.IMAGENET,)
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES)[0], last)
    with pytest.raises(CheckpointError, match='refused'):
        fetch(f'hf-hub:timm/{TIMM}@another')
    VoVNet.from_pretrained(f'hf-hub:timm/{TIMM}')  # the server is gone
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    with serve({}) as (url, requests):
        connect(url)
        VoVNet.from_pretrained(f'timm://{TIMM}')
    assert not requests


@pytest.mark.parametrize(
    ('code', 'kind', 'message'),
    [
        (401, 'RepoNotFound', "'hf-hub:some/body' can't be fetched.*HF_TOKEN"),
        (403, 'GatedRepo', "'hf-hub:some/body' can't be fetched.*HF_TOKEN"),
        (404, 'EntryNotFound', 'has none of the files model.safetensors'),
    ],
)
def test_hub_without_the_file(hub, code, kind, message):
    _, connect = hub
    base = '/some/body/resolve/main/'
    files = {
        base + name: (b'', hub_error(code, kind))
        for name in ('model.safetensors', 'pytorch_model.bin')
    }
    with serve(files) as (url, _):
        connect(url)
        with pytest.raises(CheckpointError, match=f'(?s){message}'):
            VoVNet.from_pretrained('hf-hub:some/body')


@pytest.mark.slow
def test_hub_by_its_environment(timm_file, tmp_path):
    """HF_ENDPOINT names the server; two processes ask at once."""
    pytest.importorskip('huggingface_hub')
    content = (timm_file[0] / 'model.safetensors').read_bytes()
    where = f'/timm/{TIMM}/resolve/main/model.safetensors'
    code = (
        'from mmvovnet import VoVNet;'
        f"print(*VoVNet.from_pretrained('timm://{TIMM}').pixels)"
    )
    with serve({where: (content, hub_file)}) as (url, _):
        env = os.environ | dict(
            HF_ENDPOINT=url,
            HF_HOME=str(tmp_path),
            HF_HUB_DISABLE_XET='1',
        )
        processes = [
            subprocess.Popen(
                [sys.executable, '-c', code],
                text=True,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for _ in range(2)
        ]
        for process in processes:
            output, _ = process.communicate(timeout=200)
            assert 'RGB images, mean (123.675' in output


@pytest.mark.parametrize(
    'spelling',
    [
        'ese_vovnet39b.ra_in1k',
        'vovnet://ese_vovnet39b.ra_in1k',
        'timm://ese_vovnet39b.ra_in1k',
        'timm://ese_vovnet39b',
        'timm/ese_vovnet39b.ra_in1k',
        'hf-hub:timm/ese_vovnet39b.ra_in1k',
        'hf_hub:timm/ese_vovnet39b.ra_in1k',
    ],
)
def test_spellings_of_a_name(spelling, monkeypatch, tmp_path):
    monkeypatch.setenv('MMVOVNET_WEIGHTS', str(tmp_path))
    kept = tmp_path / 'ese_vovnet39b.ra_in1k.safetensors'
    kept.touch()
    path, row = locate(spelling)
    assert path == kept
    assert row.name == 'ese_vovnet39b.ra_in1k'


def test_a_folder_called_timm_is_no_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = Path('timm', 'mine.pth')
    path.parent.mkdir()
    path.touch()
    assert locate('timm/mine.pth') == (path, None)


def test_a_hub_that_is_not_there_is_said_at_once(monkeypatch, tmp_path):
    constants = pytest.importorskip('huggingface_hub').constants
    monkeypatch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:9')
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="can't be fetched .*refused"):
        fetch('hf-hub:timm/ese_vovnet39b.ra_in1k')
    assert time.monotonic() - start < 5
