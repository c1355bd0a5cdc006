from pathlib import Path

import torch

from mmvovnet.analysis.benchmark import Setting, describe_machine, scaling


def test_scaling_varies_one_thing_at_a_time():
    start = Setting(batch=2, size=224, threads=1)
    for each in scaling(start):
        changed = [k for k, v in vars(each).items() if v != vars(start)[k]]
        assert len(changed) <= 1


def test_images_need_not_be_square():
    assert Setting(2, (32, 64)).images().shape == (2, 3, 32, 64)
    assert Setting(2, 32).images().shape == (2, 3, 32, 32)


def test_precision():
    with Setting(precision='bf16').autocast():
        out = torch.ones(2, 2) @ torch.ones(2, 2)
    assert out.dtype == torch.bfloat16


def test_emulated_bf16_is_told(monkeypatch):
    monkeypatch.setattr(
        Path, 'read_text', lambda path: 'model name\t: X\nflags\t: avx2\n'
    )
    assert 'emulated' in describe_machine(Setting(precision='bf16'))
    assert 'emulated' not in describe_machine(Setting())
