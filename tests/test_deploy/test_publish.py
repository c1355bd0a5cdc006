import hashlib
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvovnet.deploy.inference.detector import open_detector
from mmvovnet.deploy.publish import build_published, publish
from mmvovnet.weights import (
    CheckpointError,
    UnsafeCheckpointError,
    load,
)

from .small import CONFIGS, settle, small_config

TOOL = CONFIGS.parent / 'tools' / 'publish_model.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config and a checkpoint as a training leaves them."""
    pytest.importorskip('mmdet', exc_type=ImportError)
    from mmvovnet.apis import build_model

    folder = tmp_path_factory.mktemp('run')
    cfg = small_config('demo/fcos_vovnet27-slim_digits.py')
    cfg.model.test_cfg.score_thr = 0.0
    cfg.dump(folder / 'small.py')
    torch.manual_seed(0)  # whatever ran before
    model = settle(build_model(folder / 'small.py'))
    torch.save(
        dict(
            state_dict=model.state_dict(),
            optimizer=dict(state={}),
            meta=dict(
                cfg='import os',
                dataset_meta=dict(classes=model.dataset_meta['classes']),
            ),
        ),
        folder / 'epoch_1.pth',
    )
    return folder, model


@pytest.fixture(scope='module')
def published(trained):
    folder, _ = trained
    return publish(folder / 'small.py', folder / 'epoch_1.pth', folder / 'a')


def test_named_by_its_hash_without_the_training(published):
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published.name == f'a-{digest[:8]}.pth'
    held = load(published)
    assert held.keys() == {'meta', 'state_dict'}
    assert held['meta']['dataset_meta']['classes'] == [*'0123456789']


def test_detects_as_with_the_config(trained, published, photographs):
    from mmdet.apis import inference_detector

    ours = build_published(published)
    found = [
        inference_detector(model, photographs[0]).pred_instances
        for model in (trained[1], ours)
    ]
    assert len(found[0]) > 0
    for key in ('bboxes', 'scores', 'labels'):
        assert found[0][key].equal(found[1][key])
    assert ours.dataset_meta['classes'] == [*'0123456789']


def changed(published, tmp_path, **parts):
    held = load(published)
    held['meta']['mmvovnet_detector']['model'].update(parts)
    path = tmp_path / 'changed.pth'
    torch.save(held, path)
    return path


@pytest.mark.parametrize(
    'part',
    [
        dict(type='subprocess.Popen', args=['touch', 'mark']),
        dict(type='os.system', command='touch mark'),
        dict(type='mmengine.Config.fromfile', filename='evil'),
        dict(test_cfg=dict(nms=dict(type='__import__("os").abort()'))),
        dict(train_cfg=['__import__("os").abort()']),
        dict(neck=dict(type=['FPN'])),
        dict(backbone=torch.zeros(1)),
    ],
)
def test_a_description_runs_nothing(part, published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = changed(published, tmp_path, **part)
    with pytest.raises(UnsafeCheckpointError, match='nothing was built'):
        build_published(path)
    assert not (tmp_path / 'mark').exists()


def test_other_weights_are_refused(published, tmp_path):
    held = load(published)
    del held['state_dict']['bbox_head.conv_cls.weight']
    torch.save(held, tmp_path / 'part.pth')
    with pytest.raises(CheckpointError, match=r'(?s)other weights.*conv_cls'):
        build_published(tmp_path / 'part.pth')


def test_a_checkpoint_of_a_training_is_none(trained):
    with pytest.raises(CheckpointError, match=r'tools/publish_model\.py'):
        build_published(trained[0] / 'epoch_1.pth')


def run_tool(monkeypatch, *args):
    monkeypatch.setattr('sys.argv', ['publish_model.py', *map(str, args)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_tool(monkeypatch, trained[0] / 'epoch_1.pth', 'out/small')
    (path,) = Path('out').iterdir()
    assert str(path) in capsys.readouterr().out


def test_tool_names_what_a_file_cannot_carry(trained, tmp_path, monkeypatch):
    folder, _ = trained
    cfg = Config.fromfile(folder / 'small.py')
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='Flip'))
    cfg.dump(tmp_path / 'flipped.py')
    with pytest.raises(SystemExit, match=r"error: .*steps \['Flip'\]"):
        run_tool(monkeypatch, folder / 'epoch_1.pth', 'x', '--config',
                 tmp_path / 'flipped.py')  # fmt: skip


def test_tool_without_a_config(tmp_path, monkeypatch):
    torch.save({}, tmp_path / 'epoch_1.pth')
    (tmp_path / 'script.py').write_text('print("no model")')
    with pytest.raises(SystemExit, match=r'should hold one config.* \[\]'):
        run_tool(monkeypatch, tmp_path / 'epoch_1.pth', 'x')
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').write_text('model = dict()')
    with pytest.raises(SystemExit, match=r"holds \['a.py', 'b.py'\]"):
        run_tool(monkeypatch, tmp_path / 'epoch_1.pth', 'x')


def test_a_batch_gives_what_single_images_give(
    trained, published, photographs
):
    """Of a published file and of a config with weights."""
    folder, _ = trained
    images = [image[:200, :300] for image in photographs]
    one, classes, _ = open_detector(str(published))
    two, _, _ = open_detector(
        str(folder / 'small.py'), str(folder / 'epoch_1.pth')
    )
    assert classes == [*'0123456789']
    for found in (one(images), two(images)):
        for image, parts in zip(images, found, strict=True):
            (alone,) = one([image])
            for part, expected in zip(parts, alone, strict=True):
                torch.testing.assert_close(
                    part, expected, rtol=1e-4, atol=1e-3
                )
