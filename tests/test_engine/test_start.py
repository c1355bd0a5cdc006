"""What a training starts from: a narrow FCOS on eight images."""

import json
import re
import time
import zipfile

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from PIL import Image

from mmvovnet import VoVNet
from mmvovnet.engine import load_config
from mmvovnet.engine.start import check_frozen, thaw
from mmvovnet.weights import convert, public

from ..test_configs.files import ROOT
from ..test_weights.server import serve, status, whole

pytest.importorskip('mmcv.ops', reason='mmcv has no ops')
WEIGHTS = VoVNet('V-27-slim').state_dict()


class Note(Hook):
    """Keeps a weight of the backbone before the first step."""

    def __init__(self, found):
        self.found = found

    def before_train(self, runner):
        weight = runner.model.backbone.state_dict()['stem.0.conv.weight']
        self.found.append(weight.clone())


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Eight images of 64x64 pixels with a box each, in COCO's form."""
    folder = tmp_path_factory.mktemp('coco')
    random = np.random.RandomState(0)
    images, boxes = [], []
    for i in range(8):
        pixels = random.randint(256, size=(64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.png')
        images.append(dict(id=i, file_name=f'{i}.png', width=64, height=64))
        boxes.append(
            dict(
                id=i + 1,
                image_id=i,
                category_id=1,
                bbox=[8, 8, 40, 40],
                area=1600,
                iscrowd=0,
            )
        )
    categories = [dict(id=i + 1, name=f'c{i}') for i in range(2)]
    truth = dict(images=images, annotations=boxes, categories=categories)
    (folder / 'train.json').write_text(json.dumps(truth))
    return folder


@pytest.fixture
def config(data, tmp_path, monkeypatch):
    """The config, with its weights on a server of ours."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.delenv('MMVOVNET_WEIGHTS', raising=False)

    def make(url, *options):
        table = dict(public.public_files())
        name = 'vovnet27s_pytorchcv'
        table[name] = table[name]._replace(urls=(url,), sha1='')
        monkeypatch.setattr(public, 'public_files', lambda: table)
        cfg = load_config(
            ROOT / 'fcos_vovnet39.py', options, str(tmp_path / 'run')
        )
        cfg.model.backbone.arch = 'V-27-slim'
        if cfg.model.backbone.init_cfg:
            cfg.model.backbone.init_cfg.checkpoint = f'vovnet://{name}'
        cfg.model.neck.update(in_channels=[256, 384, 512], out_channels=32)
        cfg.model.bbox_head.update(
            num_classes=2, in_channels=32, feat_channels=32
        )
        cfg.train_dataloader.dataset.update(
            data_root=f'{data}/',
            ann_file='train.json',
            data_prefix=dict(img=''),
            metainfo=dict(classes=['c0', 'c1']),
        )
        cfg.train_dataloader.dataset.pipeline[2].scale = (64, 64)
        cfg.train_dataloader.num_workers = 0
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
        cfg.default_hooks.checkpoint.update(by_epoch=False, interval=1)
        cfg.default_hooks.logger.interval = 1
        return cfg

    return make


@pytest.fixture
def served(tmp_path):
    """A zip such as pytorchcv publishes, of this module's weights."""
    path = tmp_path / 'plain.pth'
    torch.save(convert(WEIGHTS, to='pytorchcv'), path)
    served = tmp_path / 'served.pth.zip'
    with zipfile.ZipFile(served, 'w') as archive:
        archive.write(path, 'vovnet27s.pth')
    return served.read_bytes()


def test_it_starts_from_the_served_weights_and_resumes(
    config, served, tmp_path
):
    with serve({'/v.pth.zip': (served, whole)}) as (url, requests):
        runner = RUNNERS.build(config(f'{url}/v.pth.zip'))
        before = []
        runner.register_hook(Note(before))
        runner.train()
    assert len(requests) == 1
    (stem,) = before
    assert torch.equal(stem, WEIGHTS['stem.0.conv.weight'])
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    count = re.search(r'The backbone starts from (\d+) weights', log)
    assert int(count[1]) == len(WEIGHTS)
    assert 'expect RGB images' in log and 'set data_preprocessor' not in log
    cfg = config('http://127.0.0.1:9/v.pth.zip')
    cfg.resume, cfg.train_cfg.max_iters = True, 3
    resumed = RUNNERS.build(cfg)
    resumed.train()
    assert resumed.iter == 3


@pytest.mark.parametrize(
    ('content', 'respond', 'message'),
    [
        (b'x', status(403), 'HTTP Error 403'),
        (b'PK\x03\x04torn', whole, 'cannot be read'),
        (None, None, 'refused'),
    ],
    ids=['403', 'torn', 'no network'],
)
def test_without_weights_one_line_says_what_to_do(
    content, respond, message, config
):
    start = time.monotonic()
    with (
        serve({'/v.pth.zip': (content or b'', respond or whole)}) as (url, _),
        pytest.raises(SystemExit) as stop,
    ):
        address = f'{url}/v.pth.zip' if respond else 'http://127.0.0.1:9/v.pth'
        RUNNERS.build(config(address)).train()
    said = str(stop.value)
    assert time.monotonic() - start < 20
    assert '\n' not in said
    assert message in said and said.endswith('from_scratch=True.')
    if message != 'cannot be read':
        assert 'MMVOVNET_WEIGHTS' in said and 'vovnet27_slim_toolbox' in said


def test_runners_of_strategies_see_what_they_start_from(config):
    """FSDP's and DeepSpeed's configs have such a runner."""

    def flexible(*options):
        cfg = config('http://127.0.0.1:9/v.pth', *options)
        cfg.runner_type = 'mmvovnet.FlexibleRunner'
        cfg.strategy = dict(type='SingleDeviceStrategy')
        return RUNNERS.build(cfg)

    with pytest.raises(SystemExit, match='cannot start.*from_scratch=True'):
        flexible().train()
    frozen = 'model.backbone.init_cfg=None', 'model.backbone.frozen_stages=1'
    with pytest.raises(ValueError, match='frozen_stages=1'):
        flexible(*frozen).train()
    flexible(*frozen, 'from_scratch=True').train()


def test_from_scratch_is_one_option(config):
    options = 'from_scratch=True', 'model.backbone.frozen_stages=1'
    runner = RUNNERS.build(config('http://127.0.0.1:9/v.pth', *options))
    runner.train()
    assert all(p.requires_grad for p in runner.model.backbone.parameters())
    assert not runner.model.backbone.has_weights


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(frozen_stages=0), 'frozen_stages=0'),
        (dict(norm_eval=True), 'norm_eval=True'),
        (
            dict(norm_cfg=dict(type='BN', requires_grad=False)),
            'requires_grad=False',
        ),
    ],
)
def test_random_parts_are_not_frozen(options, named):
    model = torch.nn.Sequential(VoVNet('V-27-slim', **options))
    with pytest.raises(ValueError, match=named) as caught:
        check_frozen(model)
    assert 'vovnet://vovnet27s_pytorchcv' in str(caught.value)
    cfg = dict(type='VoVNet', arch='V-27-slim', **options)
    thaw(dict(model=[cfg]), dict(from_scratch=True))
    thawed = VoVNet(**{k: v for k, v in cfg.items() if k != 'type'})
    check_frozen(torch.nn.Sequential(thawed))
    model.load_state_dict(model.state_dict())
    check_frozen(model)


def test_nothing_frozen_needs_no_weights():
    check_frozen(torch.nn.Sequential(VoVNet('V-27-slim')))
