import copy
import csv
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmvovnet.analysis import benchmark
from mmvovnet.analysis.benchmark import Setting, build

TOOL = Path(__file__).parents[2] / 'tools' / 'benchmark.py'


@pytest.fixture
def small(monkeypatch):
    """Two small models, from a source of their own."""

    def net(width):
        return nn.Sequential(nn.Conv2d(3, int(width), 3), nn.ReLU())

    monkeypatch.setitem(benchmark.SOURCES, 'test', net)
    # A child process does not know this source.
    monkeypatch.setattr(benchmark, 'peak_memory', lambda row, setting: 1.0)
    return ['test:4', 'test:8']


@pytest.mark.parametrize('row', benchmark.ROWS)
def test_every_row_builds(row):
    source = row.rpartition(':')[0]
    if source:
        pytest.importorskip(source, reason=f'{source} is not installed')
    # mmpretrain's ResNet reads values of tensors that it makes.
    with torch.device('cpu' if source == 'mmpretrain' else 'meta'):
        model = build(row)
    assert model.training


@pytest.mark.parametrize(
    ('row', 'match'),
    [
        ('nowhere:V-39', "unknown source 'nowhere'"),
        ('V-39+magic', 'modes that VoVNet does not have'),
        ('timm:vovnet39a+with_cp', 'modes that timm does not have'),
    ],
)
def test_wrong_row(row, match):
    with pytest.raises(ValueError, match=match):
        build(row)


@pytest.mark.parametrize('mode', ['fuse', 'onnx', 'openvino'])
def test_inference_modes_compute_the_same(mode):
    if mode != 'fuse':
        pytest.importorskip(mode, reason=f'{mode} is not installed')
    row = f'V-19-slim-eSE+{mode}'
    torch.manual_seed(0)
    model = build('V-19-slim-eSE').eval()
    deployed = benchmark.deploy(copy.deepcopy(model), row)
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
    model = build('V-19-slim-eSE')
    frozen = benchmark.deploy(copy.deepcopy(model), 'V-19-slim-eSE+freeze')
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.eval()(x)[-1]
        torch.testing.assert_close(frozen(x)[-1], expected)
        for net in (model, frozen):
            for parameter in net.parameters():
                parameter.zero_()
        assert not model(x)[-1].any()
        assert frozen(x)[-1].any()


def test_inference_modes_do_not_train():
    with pytest.raises(ValueError, match='--inference'):
        benchmark.measure(['V-39+fuse'], benchmark.Setting(1, 64))


def test_rows_take_turns(small, monkeypatch):
    order = []
    step = benchmark.Subject.step

    def note(self):
        order.append(self.result.row)
        step(self)

    monkeypatch.setattr(benchmark.Subject, 'step', note)
    results = benchmark.measure(small, Setting(2, 16), rounds=3)
    assert order == small * 4  # three rounds and a warm-up
    assert all(len(r.forward_ms) == len(r.step_ms) == 3 for r in results)
    # The batch, which the conv keeps, and the result of the activation.
    assert [r.saved_mb * 1e6 for r in results] == [
        2 * 4 * (3 * 16 * 16 + width * 14 * 14) for width in (4, 8)
    ]


def test_what_cannot_be_measured_is_a_dash(small, monkeypatch):
    monkeypatch.setattr(benchmark, 'energy_meter', lambda device: None)
    (result,) = benchmark.measure(small[:1], Setting(2, 16), 1, False)
    columns = result.columns()
    for column in ('step ms', 'saved MB', 'peak MB', 'J/image'):
        assert columns[column] == '-'


def test_energy_is_divided_by_images(small, monkeypatch):
    class Meter:
        joules = 0.0

        def __call__(self):
            self.joules += 3
            return self.joules

    monkeypatch.setattr(benchmark, 'energy_meter', lambda device: Meter())
    monkeypatch.setattr(
        benchmark.time, 'perf_counter', iter(range(99)).__next__
    )
    subject = benchmark.Subject(small[0], Setting(2, 16))
    # The clock gives one pass of two images in two seconds.
    assert benchmark._joules(subject, seconds=3) == 1.5


@pytest.mark.skipif(
    not Path('/proc/self/status').exists(), reason='needs /proc'
)
def test_peak_memory_in_a_process_of_its_own():
    setting = Setting(4, 128)
    plain = benchmark.peak_memory('V-27-slim', setting)
    saving = benchmark.peak_memory('V-27-slim+memory_efficient', setting)
    assert 0 < saving < plain


def test_scaling_varies_one_thing_at_a_time():
    start = Setting(batch=2, size=224, threads=1)
    for each in benchmark.scaling(start):
        changed = [k for k, v in vars(each).items() if v != vars(start)[k]]
        assert len(changed) <= 1


def test_precision():
    with Setting(precision='bf16').autocast():
        out = torch.ones(2, 2) @ torch.ones(2, 2)
    assert out.dtype == torch.bfloat16


def test_emulated_bf16_is_told(monkeypatch):
    monkeypatch.setattr(
        Path, 'read_text', lambda path: 'model name\t: X\nflags\t: avx2\n'
    )
    assert 'emulated' in benchmark.describe_machine(Setting(precision='bf16'))
    assert 'emulated' not in benchmark.describe_machine(Setting())


def test_tool(small, tmp_path, monkeypatch, capsys):
    options = ['--rounds', '2', '--batch', '1', '--size', '32']
    monkeypatch.setattr(
        sys,
        'argv',
        [
            str(TOOL),
            *small,
            *options,
            '--device',
            'cpu',
            '--out',
            str(tmp_path),
        ],
    )
    runpy.run_path(str(TOOL), run_name='__main__')
    assert '| test:8 | 1 | 32 |' in capsys.readouterr().out
    with open(tmp_path / 'benchmark.csv', newline='') as file:
        assert [row['model'] for row in csv.DictReader(file)] == small
    assert (tmp_path / 'benchmark.png').stat().st_size > 1000
