import pytest
from mmengine.config import Config

from mmvovnet.tasks import (
    class_names,
    leaves,
    library,
    pipeline_of,
    require,
)


def config(dataset=None, **more):
    loader = dict(dataset=dataset or dict(pipeline=[dict(type='Resize')]))
    return Config(dict(test_dataloader=loader, **more))


@pytest.mark.parametrize(
    'given, expected',
    [
        (dict(default_scope='mmseg'), 'mmseg'),
        (dict(model=dict(type='mmdet.FCOS')), 'mmdet'),
        (
            dict(
                model=dict(
                    type='mmvovnet.RefineDet', neck=dict(type='mmdet.FPN')
                )
            ),
            'mmdet',
        ),
        (dict(model=dict(type='FCOS')), None),
    ],
)
def test_library(given, expected):
    cfg = config(**given)
    assert library(cfg) == expected
    if expected:
        assert require(cfg, (expected, 'other'), 'it') == expected
    with pytest.raises(ValueError, match='it is for|does not say'):
        require(cfg, ('mmpretrain',), 'it')


@pytest.mark.parametrize(
    'wrap',
    [
        lambda x: dict(type='RepeatDataset', times=2, dataset=x),
        lambda x: dict(type='ConcatDataset', datasets=[x, x]),
        lambda x: [x],
    ],
)
def test_data_sets_in_wrappers(wrap):
    inner = dict(
        type='mmdet.CocoDataset',
        metainfo=dict(classes=('red cell',)),
        pipeline=[dict(type='Resize')],
    )
    wrapped = wrap(inner)
    assert set(map(str, leaves(wrapped))) == {str(inner)}
    cfg = config(wrapped)
    assert pipeline_of(cfg)[0].type == 'Resize'
    assert class_names(cfg) == ['red cell']


def test_no_pipeline():
    with pytest.raises(ValueError, match='no test_dataloader'):
        pipeline_of(Config({}))
