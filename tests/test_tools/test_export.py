import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'demo' / 'fcos_vovnet27-slim_digits.py'


def run(tool, *args, cwd):
    return subprocess.run(
        [sys.executable, ROOT / 'tools' / f'{tool}.py', *args],
        text=True,
        capture_output=True,
        cwd=cwd,
    )


def test_export_a_backbone(tmp_path, monkeypatch, capsys):
    pytest.importorskip('mmdet')
    tool = str(ROOT / 'tools' / 'export.py')
    options = ['--backbone', '--format=torchscript']
    monkeypatch.setattr(sys, 'argv', [tool, str(CONFIG), *options])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(tool, run_name='__main__')
    name = 'fcos_vovnet27-slim_digits.torchscript'
    assert capsys.readouterr().out.splitlines()[-1] == (
        f'{name}: images -> stage1, stage2, stage3'
    )
    from mmvovnet.deploy import load_exported

    metadata = load_exported(tmp_path / name).metadata
    assert metadata['classes'] == [str(digit) for digit in range(10)]
    assert metadata['order'] == 'RGB'


def test_segmentation_is_refused_by_name(monkeypatch):
    tool = str(ROOT / 'tools' / 'export.py')
    config = CONFIG.with_name('semantic-fpn_vovnet27-slim_digits.py')
    monkeypatch.setattr(sys, 'argv', [tool, str(config)])
    with pytest.raises(SystemExit, match='without --backbone is for .* mmseg'):
        runpy.run_path(tool, run_name='__main__')


@pytest.mark.slow
def test_export_and_detect(tmp_path):
    """The same weights, as a checkpoint and as a file, draw the same."""
    datasets = pytest.importorskip('sklearn.datasets')
    pytest.importorskip('onnxruntime')
    pytest.importorskip('mmdet')
    import mmcv
    import torch
    from mmengine.config import Config

    from mmvovnet.apis import build_model

    cfg = Config.fromfile(CONFIG)
    cfg.model.test_cfg.score_thr = 0.6
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    model = build_model(tmp_path / 'config.py')
    torch.nn.init.normal_(model.bbox_head.conv_cls.weight, std=0.06)
    torch.nn.init.zeros_(model.bbox_head.conv_cls.bias)
    meta = dict(dataset_meta=dict(classes=tuple('abcdefghij')))
    state = dict(state_dict=model.state_dict(), meta=meta)
    torch.save(state, tmp_path / 'weights.pth')
    image = datasets.load_sample_images().images[0][:400, :400]
    mmcv.imwrite(mmcv.rgb2bgr(image), str(tmp_path / 'photo.png'))

    done = run('export', 'config.py', 'weights.pth', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pictures, lines = [], []
    for out, model in (
        ('file', ['config.onnx']),
        ('config', ['config.py', '--checkpoint=weights.pth']),
    ):
        done = run(
            'detect',
            'photo.png',
            '--score-thr=0.3',
            f'--out-dir={out}',
            '--model',
            *model,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        pictures.append(mmcv.imread(str(tmp_path / out / 'photo.png')))
        lines.append(done.stdout.splitlines()[-1].removeprefix(out))
    assert lines[0] == lines[1]
    assert int(lines[0].split()[1]) > 0
    # Boxes may move by a thousandth of a pixel, and so do antialiased edges.
    difference = pictures[0].astype(int) - pictures[1]
    assert (abs(difference) > 64).mean() < 0.001


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['missing.py'], "there is no file 'missing.py'"),
        ([CONFIG, 'missing.pth'], "there is no file 'missing.pth'"),
        ([CONFIG, '--out=model.pt'], "--out ends in '.onnx' for onnx"),
    ],
)
def test_bad_arguments(args, message, tmp_path):
    done = run('export', *args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def run_here(monkeypatch, *args):
    tool = str(ROOT / 'tools' / 'export.py')
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
    runpy.run_path(tool, run_name='__main__')


def test_other_classes_are_refused(tmp_path, monkeypatch):
    """Of a checkpoint's names, or of its head."""
    pytest.importorskip('mmdet')
    import torch

    from mmvovnet.apis import build_model

    model = build_model(CONFIG)
    path = tmp_path / 'weights.pth'
    state = model.state_dict()
    meta = dict(dataset_meta=dict(classes=('a', 'b', 'c')))
    torch.save(dict(state_dict=state, meta=meta), path)
    with pytest.raises(SystemExit, match=r'name 3 classes, .* model has 10'):
        run_here(monkeypatch, CONFIG, path, '--out', tmp_path / 'a.onnx')
    weight = 'bbox_head.conv_cls.weight'
    state[weight] = state[weight][:3]
    torch.save(dict(state_dict=state), path)
    with pytest.raises(SystemExit, match=r'(?s)conv_cls\.weight.*\b3, '):
        run_here(monkeypatch, CONFIG, path, '--out', tmp_path / 'a.onnx')
    assert [*tmp_path.iterdir()] == [path]
