from types import SimpleNamespace

import pytest
from paper import centermask
from torch import nn


@pytest.mark.parametrize(('gain', 'holds'), [(5, True), (-5, False)])
def test_verdicts_come_from_the_scores(monkeypatch, tmp_path, gain, holds):
    """The whole has a gain over each variant, and so have mask scores."""

    def train(variant, seed, folder):
        mask = 50 + 0.1 * seed + gain * (variant == centermask.WHOLE)
        by_box = mask - gain + 0.01 * seed
        return {'mask': mask, 'mask by box score': by_box, 'box': 60.0}

    monkeypatch.setattr(centermask, 'train', train)
    result = centermask.check(tmp_path, seeds=3)
    assert [finding.claim for finding in result.findings] == [
        'spatial attention adds to mask AP',
        'the level by the share of the image adds to mask AP',
        'mask scoring adds to mask AP',
    ]
    assert [finding.holds for finding in result.findings] == [holds] * 3
    if holds:
        paths = result.write(tmp_path, 'centermask', 'x')
        assert all(path.stat().st_size for path in paths)


def test_a_training_is_done_once_for_its_code(monkeypatch, tmp_path):
    """Masks are scored twice: by their own scores, and by their boxes'."""
    built = []

    class Fake:
        def __init__(self, cfg):
            built.append(cfg)
            head = SimpleNamespace(mask_iou_head='scores masks')
            self.model = SimpleNamespace(roi_head=head)

        def register_hook(self, hook):
            self.hook = hook

        def train(self):
            assert type(self.hook).__name__ == '_MasksAlone'

        def test(self):
            by_box = self.model.roi_head.mask_iou_head is None
            return {
                'coco/segm_mAP': 0.25 if by_box else 0.5,
                'coco/bbox_mAP': 0.75,
            }

    monkeypatch.setattr(centermask.RUNNERS, 'build', Fake)
    monkeypatch.setattr(centermask, '_detector', lambda folder: folder / 'd')
    variant = 'without spatial attention'
    expected = {'mask': 50.0, 'mask by box score': 25.0, 'box': 75.0}
    for _ in range(2):
        assert centermask.train(variant, 1, tmp_path) == expected
    (cfg,) = built
    assert cfg.model.roi_head.mask_head.type == 'FCNMaskHead'
    assert cfg.randomness.seed == 1
    assert cfg.load_from == str(tmp_path / 'd')

    monkeypatch.setattr(centermask, 'fingerprint', lambda cfg: 'other code')
    centermask.train(variant, 1, tmp_path)
    assert len(built) == 2


def test_one_seed_has_no_spread(tmp_path):
    with pytest.raises(ValueError, match='at least 2 seeds, got 1'):
        centermask.check(tmp_path, seeds=1)


def test_a_gain_within_its_spread_is_inconclusive(monkeypatch, tmp_path):
    def train(variant, seed, folder):
        mask = 50 + (-1) ** seed * (1 + 0.1 * len(variant))
        by_box = mask + (-1) ** seed
        return {'mask': mask, 'mask by box score': by_box, 'box': 60.0}

    monkeypatch.setattr(centermask, 'train', train)
    result = centermask.check(tmp_path, seeds=4)
    assert [finding.holds for finding in result.findings] == [None] * 3


def test_the_detector_is_left_as_it_is():
    model = nn.Module()
    for part in ('backbone', 'neck', 'bbox_head', 'roi_head'):
        setattr(model, part, nn.Sequential(nn.Conv2d(1, 1, 1)))
    centermask._MasksAlone().before_train_iter(SimpleNamespace(model=model), 0)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ['roi_head.0.weight', 'roi_head.0.bias']
    training = [name for name, m in model.named_children() if m.training]
    assert training == ['bbox_head', 'roi_head']
