import pytest

from mmvovnet import processor


@pytest.mark.parametrize(
    ('text', 'name', 'native'),
    [
        ('model name\t: A\nflags\t\t: fpu avx512_bf16\n', 'A', True),
        ('model name\t: B\nflags\t\t: fpu avx512f\n', 'B', False),
        ('Features\t: fp asimd bf16\n', None, True),
    ],
)
def test_flags(text, name, native, tmp_path, monkeypatch):
    info = tmp_path / 'cpuinfo'
    info.write_text(text)
    monkeypatch.setattr(processor, '_INFO', info)
    assert processor.has_bfloat16() == native
    assert name in (None, processor.processor()[0])


def test_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, '_INFO', tmp_path / 'none')
    assert processor.processor()[1] == set()
    assert not processor.has_bfloat16()
