"""What the pages cite, typed a second time from the sources.

A row is a config and, in the order of its metafile, the cited metrics.
"""

from pathlib import Path

import numpy as np
import pytest
import yaml
from paper.published import CENTERMASK_TABLE_4, CIFAR_10

from .test_configs.files import METAFILES

ROOT = Path(__file__).parents[1]
PAGES = ROOT / 'docs'

CITED = {
    'arxiv.org/abs/1904.09730': """
        refinedet320_vovnet39_400k_coco 33.5 12.8
        refinedet320_vovnet57_400k_coco 33.9 12.8
        refinedet512_vovnet39_400k_coco 38.5 20.0 43.0
        refinedet512_vovnet57_400k_coco 39.2 20.2 43.6
        refinedet512_vovnet39_540k_coco 37.5
        refinedet512_vovnet57_540k_coco 38.1
        refinedet320_r50-caffe_400k_coco 30.3 10.2
        refinedet320_r101-caffe_400k_coco 32.0 10.5
        refinedet320_vgg16_400k_coco 29.4 10.0
        mask-rcnn_vovnet39-scratch_fpn_gn-all_3x_coco 41.7 36.8
        mask-rcnn_vovnet57-scratch_fpn_gn-all_3x_coco 41.9 37.0
        """,
    'github.com/stigma0617/VoVNet.pytorch': """
        vovnet39_8xb32_in1k 76.77 93.43
        vovnet57_8xb32_in1k 77.73 93.72
        """,
    'github.com/vov-net/VoVNet-Detectron': """
        faster-rcnn_vovnet39_fpn_2x_coco 39.8
        faster-rcnn_vovnet57_fpn_2x_coco 40.8
        faster-rcnn_vovnet93_fpn_2x_coco 41.8
        mask-rcnn_vovnet39_fpn_2x_coco 41.0 36.7
        mask-rcnn_vovnet57_fpn_2x_coco 42.0 37.5
        """,
    'github.com/vov-net/VoVNet-FCOS': """
        fcos_vovnet39_fpn_1x_coco 37.7
        fcos_vovnet57_fpn_ms-2x_coco 41.6
        """,
    'github.com/aim-uofa/AdelaiDet': """
        fcos_vovnet39-ese_fpn_ms-3x_coco 43.5
        fcos_vovnet57-ese_fpn_ms-3x_coco 44.4
        fcos_vovnet99-ese_fpn_ms-3x_coco 45.2
        """,
    'github.com/youngwanLEE/vovnet-detectron2': """
        faster-rcnn_vovnet19-ese_fpn_ms-3x_coco 38.9
        faster-rcnn_vovnet39-ese_fpn_ms-3x_coco 42.7
        faster-rcnn_vovnet57-ese_fpn_ms-3x_coco 43.3
        faster-rcnn_vovnet99-ese_fpn_ms-3x_coco 44.1
        faster-rcnn_vovnet19-slim-dw-ese_fpnlite_ms-3x_coco 32.4
        faster-rcnn_vovnet19-dw-ese_fpnlite_ms-3x_coco 36.7
        faster-rcnn_vovnet19-slim-ese_fpnlite_ms-3x_coco 35.2
        faster-rcnn_vovnet19-ese_fpnlite_ms-3x_coco 38.9
        mask-rcnn_vovnet19-ese_fpn_ms-3x_coco 40.1 36.6
        mask-rcnn_vovnet39-ese_fpn_ms-3x_coco 43.8 39.3
        mask-rcnn_vovnet57-ese_fpn_ms-3x_coco 44.2 39.7
        mask-rcnn_vovnet99-ese_fpn_ms-3x_coco 44.9 40.3
        """,
    'github.com/youngwanLEE/centermask2': """
        centermask_vovnet39-ese_fpn_ms-3x_coco 44.2 39.7
        centermask_vovnet57-ese_fpn_ms-3x_coco 45.1 40.5
        centermask_vovnet99-ese_fpn_ms-3x_coco 46.0 41.4
        centermask_vovnet39-ese-dcn_fpn_ms-3x_coco 45.1 40.3
        centermask_vovnet57-ese-dcn_fpn_ms-3x_coco 45.5 40.9
        centermask_vovnet99-ese-dcn_fpn_ms-3x_coco 46.9 42.0
        centermask-lite_vovnet19-ese_fpn_ms-4x_coco 35.9 32.8
        centermask-lite_vovnet39-ese_fpn_ms-4x_coco 40.9 36.7
        centermask-lite_vovnet19-slim-ese_fpn_ms-4x_coco 32.5 29.8
        centermask-lite_vovnet19-slim-dw-ese_fpn_ms-4x_coco 29.5 27.1
        panoptic-centermask_vovnet39-ese_fpn_ms-3x_coco 43.4 39.0 43.7
        panoptic-centermask_vovnet57-ese_fpn_ms-3x_coco 43.9 39.6 44.5
        panoptic-centermask_vovnet99-ese_fpn_ms-3x_coco 45.1 40.6 45.4
        """,
}


def test_metafiles_cite_what_is_published():
    typed = {
        (name, f'https://{source}'): [*map(float, figures)]
        for source, table in CITED.items()
        for name, *figures in map(str.split, table.strip().splitlines())
    }
    listed = {}
    for path in METAFILES:
        for model in yaml.safe_load(path.read_text()).get('Models', []):
            for result in model.get('Results', []):
                if 'Source' in result:
                    listed.setdefault(
                        (model['Name'], result['Source']), []
                    ).extend(result['Metrics'].values())
    assert listed == typed


def test_errors_on_cifar_10():
    """Section 3.2 of arXiv 1904.09730: error in %, Eq. 1 in millions."""
    assert CIFAR_10 == {
        'densenet40': (5.24, 3.7),
        'osa12x20': (6.4, None),
        'osa5x43': (5.44, 2.5),
    }


def test_residual_and_ese():
    """Table 4 of arXiv 1911.06667: box AP of V1, + residual, + eSE."""
    assert CENTERMASK_TABLE_4 == {
        'V-39': (39.7, 39.8, 40.0),
        'V-99': (35.3, 42.5, 43.5),
    }


@pytest.mark.parametrize(
    'sentence',
    [
        'error on CIFAR-10 rises from {densenet40[0]} % to {osa12x20[0]} %',
        'with 5 wider layers it is {osa5x43[0]} %',
        'better, by {V39[0]:.1f} AP for V-39 and {V99[0]:.1f} for V-99',
        'and eSE adds up to {V99[1]:.1f} AP',
    ],
)
def test_sentences_agree_with_the_tables(sentence):
    plain = ' '.join((PAGES / 'paper_learning.md').read_text().split())
    gains = {
        arch.replace('-', ''): np.diff(ap)
        for arch, ap in CENTERMASK_TABLE_4.items()
    }
    assert sentence.format(**CIFAR_10, **gains) in plain


def test_what_weights_give_on_blood_cells():
    """Typed anew from the runs' logs."""
    page = ' '.join((PAGES / 'own_data.md').read_text().split())
    runs = {
        'weights, right pixels': ('0.518', '0.512', '0.515'),
        'weights, wrong pixels': ('0.510', '0.498', '0.516'),
        'random weights': ('0.494', '0.479', '0.486'),
    }
    for seeds in runs.values():
        assert f'{min(seeds)} to {max(seeds)}' in page
