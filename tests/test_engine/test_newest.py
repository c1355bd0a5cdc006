import pytest
import torch

from mmvovnet.engine.newest import newest, saved


def save(path, iterations):
    torch.save(dict(meta=dict(iter=iterations)), path)


def test_latest_by_number_not_by_name_or_time(tmp_path):
    for number in (10, 9, 2):
        save(tmp_path / f'epoch_{number}.pth', number)
    (tmp_path / 'epoch_11.pth').touch()
    (tmp_path / 'best_mAP_epoch_12.pth').touch()
    names = [path.name for path in saved(tmp_path, 'epoch_{}.pth')]
    assert names == [f'epoch_{n}.pth' for n in (2, 9, 10, 11)]
    assert newest(tmp_path, 'epoch_{}.pth').name == 'epoch_10.pth'


@pytest.mark.parametrize(
    'iterations, expected', [(19, 'epoch_2.pth'), (21, 'interrupted.pth')]
)
def test_interrupted_if_it_is_newer(tmp_path, iterations, expected):
    save(tmp_path / 'epoch_2.pth', 20)
    save(tmp_path / 'interrupted.pth', iterations)
    assert newest(tmp_path, 'epoch_{}.pth').name == expected


def test_interrupted_alone(tmp_path):
    save(tmp_path / 'interrupted.pth', 3)
    assert newest(tmp_path, 'epoch_{}.pth').name == 'interrupted.pth'
