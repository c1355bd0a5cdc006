import pytest

from mmvovnet.paper import centermask


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
    paths = result.write(tmp_path, 'centermask', 'x')
    assert all(path.stat().st_size for path in paths)


def test_one_seed_has_no_spread(tmp_path):
    with pytest.raises(ValueError, match='at least 2 seeds, got 1'):
        centermask.check(tmp_path, seeds=1)
