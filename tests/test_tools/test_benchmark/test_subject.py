from pathlib import Path

import torch
from benchmark import Setting, Subject, describe_machine, scaling


def test_scaling_varies_one_thing_at_a_time():
    start = Setting(batch=2, size=224, threads=1)
    for each in scaling(start):
        changed = [k for k, v in vars(each).items() if v != vars(start)[k]]
        assert len(changed) <= 1


def test_scaling_covers_batches_sizes_and_threads(monkeypatch):
    monkeypatch.setattr('os.cpu_count', lambda: 8)
    start = Setting(batch=3, size=99, threads=5)
    found = [(s.batch, s.size, s.threads) for s in scaling(start)]
    assert found == [
        *((batch, 99, 5) for batch in (1, 2, 4, 8, 16)),
        *((3, size, 5) for size in (160, 224, 320, 448, 640)),
        *((3, 99, threads) for threads in (1, 4, 8)),
    ]


def test_images_need_not_be_square():
    assert Setting(2, (32, 64)).images().shape == (2, 3, 32, 64)
    assert Setting(2, 32).images().shape == (2, 3, 32, 32)


def test_precision():
    with Setting(precision='bf16').autocast():
        out = torch.ones(2, 2) @ torch.ones(2, 2)
    assert out.dtype == torch.bfloat16


def test_emulated_bf16_is_reported(monkeypatch):
    monkeypatch.setattr(
        Path, 'read_text', lambda path: 'model name\t: X\nflags\t: avx2\n'
    )
    assert 'emulated' in describe_machine(Setting(precision='bf16'))
    assert 'emulated' not in describe_machine(Setting())


def test_channels_last():
    subject = Subject('V-27-slim+channels_last', Setting(2, 32))
    layout = dict(memory_format=torch.channels_last)
    assert subject.x.is_contiguous(**layout)
    assert all(
        p.is_contiguous(**layout)
        for p in subject.model.parameters()
        if p.dim() == 4
    )
