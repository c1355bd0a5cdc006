import hashlib
import multiprocessing
import socket
import time
import zipfile
from pathlib import Path

import pytest
import torch

from mmvovnet.weights import CheckpointError, load
from mmvovnet.weights import download as module
from mmvovnet.weights.download import cached, fetch
from mmvovnet.weights.public import public_file

from .server import breaking, page, serve, slow, status, whole


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    return tmp_path


def files(folder):
    return [path for path in folder.rglob('*') if path.is_file()]


def test_an_address_is_asked_once():
    with serve({'/a.pth': (b'abc', whole)}) as (url, requests):
        first = fetch(f'{url}/a.pth', sha256='ba7816bf')
        assert first.read_bytes() == b'abc'
        assert fetch(f'{url}/a.pth') == first
        assert len(requests) == 1


def test_one_name_at_two_addresses():
    served = {'/1/a.pth': (b'one', whole), '/2/a.pth': (b'two', whole)}
    with serve(served) as (url, _):
        assert fetch(f'{url}/1/a.pth').read_bytes() == b'one'
        assert fetch(f'{url}/2/a.pth').read_bytes() == b'two'


@pytest.mark.parametrize(
    ('content', 'respond', 'more', 'message'),
    [
        (b'abc', status(404), {}, 'HTTP Error 404'),
        (b'abc', page, {}, 'web page'),
        (b'\n<!doctype html>', whole, {}, 'web page'),
        (b'version https://git-lfs.github.com/spec/v1\n', whole, {}, 'LFS'),
        (
            b'abc',
            whole,
            dict(sha256='1234'),
            'ba78, and the published one 1234',
        ),
    ],
)
def test_what_is_not_the_file_leaves_nothing(
    cache, content, respond, more, message
):
    with (
        serve({'/a.pth': (content, respond)}) as (url, _),
        pytest.raises(CheckpointError, match=message) as caught,
    ):
        fetch(f'{url}/a.pth', **more)
    assert not files(cache)
    said = str(caught.value)
    assert f"Save a copy of it as '{cached(f'{url}/a.pth')}'" in said


@pytest.mark.parametrize(
    'respond',
    [slow(0.2), status(302, Location='/b.pth')],
    ids=['slow', 'moved'],
)
def test_a_file_arrives_in_the_end(respond):
    content = bytes(range(256)) * 1000
    served = {'/a.pth': (content, respond), '/b.pth': (content, whole)}
    with serve(served) as (url, _):
        assert fetch(f'{url}/a.pth').read_bytes() == content


@pytest.mark.parametrize(
    ('respond', 'message'),
    [
        (breaking(99), '500 bytes in place of 1000'),
        (status(403), 'HTTP Error 403'),
        (slow(3, pieces=1), 'timed out'),
    ],
)
def test_a_file_that_does_not_arrive(respond, message, cache, monkeypatch):
    monkeypatch.setattr(module, '_SILENCE', 0.1)
    with (
        serve({'/a.pth': (bytes(1000), respond)}) as (url, requests),
        pytest.raises(CheckpointError, match=message),
    ):
        fetch(f'{url}/a.pth')
    assert len(requests) == 1 and not files(cache)


def test_files_of_this_machine_are_not_served():
    with pytest.raises(CheckpointError, match='neither http nor https'):
        fetch('file:///etc/hostname')


@pytest.mark.parametrize(
    ('lookup', 'connection'),
    [(0, 0.3), (2, 0)],
    ids=['dropped packets', 'no server of names'],
)
@pytest.mark.parametrize('scheme', ['https://weights.invalid/', 'hf-hub:a/'])
def test_all_addresses_of_a_silent_host_together(
    scheme, lookup, connection, cache, monkeypatch
):
    """A time-out counts for each address; here a name has a hundred."""
    if scheme == 'hf-hub:a/':
        constants = pytest.importorskip('huggingface_hub.constants')
        monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(cache))

    class Silent(socket.socket):
        def connect(self, address):
            time.sleep(connection)
            raise TimeoutError('timed out')

    def resolve(host, port, *args, **kwargs):
        time.sleep(lookup)
        kind = socket.AF_INET, socket.SOCK_STREAM, 6, ''
        return [(*kind, (f'192.0.2.{i}', 443)) for i in range(100)]

    monkeypatch.setattr(module, '_ANSWER', 0.5)
    monkeypatch.setattr(socket, 'socket', Silent)
    monkeypatch.setattr(socket, 'getaddrinfo', resolve)
    start = time.monotonic()
    with pytest.raises(CheckpointError, match='no answer'):
        fetch(f'{scheme}model.pth')
    assert time.monotonic() - start < 2


def test_a_copy_by_hand_is_taken():
    url = 'http://127.0.0.1:9/a.pth'
    cached(url).parent.mkdir(parents=True)
    cached(url).write_bytes(b'by hand')
    assert fetch(url).read_bytes() == b'by hand'


def test_two_processes_at_once(cache):
    content = b'x' * 10**6
    context = multiprocessing.get_context('fork')
    with (
        serve({'/a.pth': (content, whole)}) as (url, _),
        context.Pool(2) as pool,
    ):
        paths = pool.map(fetch, [f'{url}/a.pth'] * 4)
    assert len(set(paths)) == 1
    assert Path(paths[0]).read_bytes() == content
    assert len(files(cache)) == 1


def zipped(folder, **files):
    path = folder / 'weights.pth.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace('_pth', '.pth'), content)
    return path


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'plain.pth'
    torch.save({'stem': torch.ones(3)}, path)
    return path.read_bytes()


def test_a_zip_of_one_file(tmp_path, saved):
    path = zipped(tmp_path, a_pth=saved)
    assert load(path)['stem'].tolist() == [1, 1, 1]
    digest = hashlib.sha1(saved).hexdigest()
    with serve({'/a.pth.zip': (path.read_bytes(), whole)}) as (url, _):
        assert load(fetch(f'{url}/a.pth.zip', sha1=digest))


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        (dict(a_pth=b'x', setup=b'y'), 'holds 2 files'),
        (dict(a_pth=b'0' * 2**25), 'would unpack to 33554432'),
        (dict(a_pth=b'no checkpoint'), 'as no file of torch.save does'),
    ],
)
def test_other_zips_are_refused(tmp_path, files, message):
    with pytest.raises(CheckpointError, match=message):
        load(zipped(tmp_path, **files))


@pytest.mark.parametrize('method', [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_unpacks_to_more_than_it_says(method, tmp_path):
    """zipfile unpacks these methods without a limit."""
    path = tmp_path / 'weights.zip'
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('a.pth', bytes(2**24))
    with pytest.raises(
        CheckpointError, match='expected is one .pth, compressed by'
    ):
        load(path)


def test_a_zip_that_is_cut_off_or_another(tmp_path, saved, cache):
    content = zipped(tmp_path, a_pth=saved).read_bytes()
    other = zipped(tmp_path, b=b'x').read_bytes()
    served = {
        '/cut.zip': (content[:-30], whole),
        '/other.zip': (other, whole),
        '/wrong.zip': (content, whole),
    }
    digest = hashlib.sha1(saved).hexdigest()
    with serve(served) as (url, _):
        for name, sha1, message in (
            ('cut', digest, 'damaged'),
            ('other', digest, 'no zip that holds a .pth'),
            ('wrong', '0' * 40, 'its SHA-1 begins'),
        ):
            with pytest.raises(CheckpointError, match=message):
                fetch(f'{url}/{name}.zip', sha1=sha1)
    assert not list((cache / 'hub').rglob('*.zip'))


def test_a_folder_of_files_comes_before_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVOVNET_WEIGHTS', str(tmp_path))
    names = {
        'vovnet39_ese_detectron2': 'vovnet39_ese_detectron2.pth',
        'ese_vovnet39b.ra_in1k': 'ese_vovnet39b.ra_in1k.safetensors',
        'vovnet39_pytorchcv': 'vovnet39_pytorchcv.pth',
    }
    for name, file in names.items():
        (tmp_path / file).write_bytes(b'x')
        assert public_file(name).fetch() == tmp_path / file


@pytest.mark.parametrize(
    ('name', 'ending', 'kind'),
    [
        ('ese_vovnet39b-f912fe73', '.pth', 'SHA-256'),
        ('vovnet39_pytorchcv', '.pth.zip', 'SHA-1'),
    ],
)
def test_a_file_in_the_folder_is_compared(
    name, ending, kind, tmp_path, monkeypatch, saved
):
    monkeypatch.setenv('MMVOVNET_WEIGHTS', str(tmp_path))
    other = zipped(tmp_path, a_pth=saved).read_bytes()
    path = tmp_path / f'{name}{ending}'
    path.write_bytes(other)
    with pytest.raises(CheckpointError, match=f'its {kind} begins') as caught:
        public_file(name).fetch()
    said = str(caught.value)
    assert f"'{path}' is not the published '{name}'" in said
    assert 'MMVOVNET_WEIGHTS' in said and '\n' not in said
    digest = hashlib.new(kind.replace('-', '').lower())
    digest.update(saved if kind == 'SHA-1' else other)
    field = kind.replace('-', '').lower()
    row = public_file(name)._replace(**{field: digest.hexdigest()})
    assert row.fetch() == path


def test_a_name_that_many_files_share_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVOVNET_WEIGHTS', str(tmp_path))
    (tmp_path / 'model_final.pth').write_bytes(b'of another run')
    row = public_file('dd3d_kitti_v99-4elbgev2-20210825_201852')
    assert row.urls[0].endswith('/model_final.pth')
    with serve({'/model_final.pth': (b'x', whole)}) as (url, _):
        served = row._replace(urls=(f'{url}/model_final.pth',))
        assert served.fetch().read_bytes() == b'x'


def test_addresses_take_turns_and_the_error_names_what_can_be_had(
    monkeypatch, tmp_path
):
    row = public_file('vovnet39_ese_detectron2')
    with serve(
        {
            '/a': (b'x', status(403)),
            '/b': (b'<html>', page),
            '/c': (b'c', whole),
        }
    ) as (url, _):
        urls = tuple(f'{url}/{name}' for name in 'abc')
        assert row._replace(urls=urls).fetch().read_bytes() == b'c'
        with pytest.raises(CheckpointError) as caught:
            row._replace(urls=urls[:2]).fetch()
    said = str(caught.value)
    assert 'HTTP Error 403' in said and 'web page' in said
    assert row.source in said and 'MMVOVNET_WEIGHTS' in said
    assert 'can be had: ese_vovnet39b.ra_in1k, ' in said
    assert '\n' not in said
