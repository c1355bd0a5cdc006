import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmvovnet import VoVNet
from mmvovnet.analysis import checkpoint
from mmvovnet.analysis.checkpoint import diagnose
from mmvovnet.weights.dialects import Pixels

from ..test_weights.peers import authors_shapes, fill
from ..test_weights.server import serve, whole

ARCH = 'V-19-slim-eSE'
PIXELS = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395])


def config(**pixels):
    return Config(
        dict(
            default_scope='mmdet',
            model=dict(
                type='SingleStageDetector',
                data_preprocessor=dict(
                    type='DetDataPreprocessor', **(PIXELS | pixels)
                ),
                backbone=dict(
                    type='mmvovnet.VoVNet', arch=ARCH, out_indices=(1, 2, 3)
                ),
                bbox_head=dict(
                    type='FCOSHead', num_classes=3, in_channels=256
                ),
            ),
        )
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Weights whose norms have seen images of these pixels."""
    pytest.importorskip('mmdet')
    from mmvovnet.analysis.checkpoint import _smooth_noise
    from mmvovnet.weights import convert

    torch.manual_seed(0)
    model = VoVNet(ARCH)
    model.init_weights()
    mean, std = (
        torch.tensor(PIXELS[k]).view(1, 3, 1, 1) for k in ('mean', 'std')
    )
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = None
    with torch.no_grad():
        model((_smooth_noise() - mean) / std)
    state = convert(model.state_dict(), to='detectron2')
    path = tmp_path_factory.mktemp('check') / 'weights.pth'
    torch.save(state, path)
    return path


def changed(path, tmp_path, change):
    state = torch.load(path)
    other = tmp_path / 'changed.pth'
    torch.save(change(state), other)
    return str(other)


def test_right_weights_and_pixels(trained):
    report = diagnose(config(), str(trained))
    assert not report.problems
    text = str(report)
    assert 'missing: bbox_head.cls_convs.*' in text
    assert 'or else BGR images' in text  # bare names: a guess
    assert text.count('times the deviation') == 5
    assert text.endswith('nothing is wrong')


def test_a_url(trained, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with serve({'/w.pth': (trained.read_bytes(), whole)}) as (url, _):
        assert not diagnose(config(), f'{url}/w.pth').problems


def test_what_is_no_checkpoint(tmp_path):
    pytest.importorskip('mmdet')
    (tmp_path / 'page.pth').write_bytes(b'Please log in')
    (problem,) = diagnose(config(), str(tmp_path / 'page.pth')).problems
    assert 'cannot be read' in problem


def test_wrong_pixels(trained):
    report = diagnose(
        config(std=[58.395, 57.12, 57.375], bgr_to_rgb=True), str(trained)
    )
    assert 'expect other images' in report.problems[0]


def test_pixels_that_names_allow_and_norms_do_not(trained):
    """detectron2's, which a bare backbone may be of, are 57 times larger."""
    report = diagnose(config(std=[1, 1, 1]), str(trained))
    problem = report.problems[0]
    assert problem.startswith('stem gets values') and 'other pixels' in problem


def test_a_backbone_of_another_place(trained, tmp_path):
    path = changed(
        trained,
        tmp_path,
        lambda state: {f'img_backbone.{k}': v for k, v in state.items()},
    )
    (problem,) = diagnose(config(), path).problems
    assert 'nothing of the file fits: it has img_backbone.' in problem


def test_another_network(tmp_path):
    pytest.importorskip('mmdet')
    path = tmp_path / 'weights.pth'
    torch.save(fill(authors_shapes('V-27-slim')), path)
    (problem,) = diagnose(config(), str(path)).problems
    assert "set arch='V-27-slim'" in problem


def test_nan(trained, tmp_path):
    def change(state):
        state['stage4.OSA4_1.ese.fc.bias'].fill_(torch.nan)
        return state

    path = changed(trained, tmp_path, change)
    problems = diagnose(config(), path).problems
    assert 'stage 2 puts out NaN or infinite values' in problems


def test_a_model_without_a_vovnet(trained):
    other = config()
    other.model.backbone = dict(type='ResNet', depth=18)
    with pytest.raises(ValueError, match='no VoVNet'):
        diagnose(other, str(trained))


def test_an_image_that_cannot_be_read(tmp_path):
    (tmp_path / 'page.jpg').write_text('<html>')
    with pytest.raises(ValueError, match=r"page\.jpg' is not an image"):
        checkpoint._batch(str(tmp_path / 'page.jpg'), Pixels('BGR', 0, 1))


def test_an_image_comes_in_the_order_of_the_weights(tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 200  # BGR
    mmcv.imwrite(red, str(tmp_path / 'red.png'))
    batches = {
        order: checkpoint._batch(
            str(tmp_path / 'red.png'), Pixels(order, (0, 0, 0), (1, 1, 1))
        )
        for order in ('BGR', 'RGB')
    }
    assert batches['BGR'][0, :, 0, 0].tolist() == [0, 0, 200]
    assert batches['RGB'][0, :, 0, 0].tolist() == [200, 0, 0]
