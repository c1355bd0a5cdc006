"""Models from configs, as MMDetection's and MMPretrain's own ``apis``."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from torch import nn

from mmvovnet.tasks import class_names, require
from mmvovnet.weights.fit import load_weights


def build_model(
    config: str | os.PathLike | Config,
    checkpoint: str | None = None,
    may_miss: Sequence[str] = (),
) -> nn.Module:
    """Build a model, by its library's own function.

    Args:
        config (str | PathLike | Config): A config of MMDetection, MMPretrain
            or MMSegmentation.
        checkpoint (str, optional): Weights. Defaults to None, random ones.
        may_miss (Sequence[str]): Beginnings of the names of weights that the
            checkpoint need not hold.

    Returns:
        nn.Module: The model, in eval mode on the CPU. Its ``cfg`` is the
        config, and ``dataset_meta['classes']`` are the checkpoint's names, or
        else the config's.

    Raises:
        CheckpointError: The checkpoint lacks other weights, or holds them in
            another shape.
        ValueError: Neither names as many classes as a detector has, or the
            config is of another library.
    """
    cfg = config if isinstance(config, Config) else Config.fromfile(config)
    known = ('mmdet', 'mmpretrain', 'mmseg')
    cfg.default_scope = require(cfg, known, 'a model from a config')
    model: Any
    if cfg.default_scope == 'mmpretrain':
        from mmpretrain.apis import get_model

        model = get_model(cfg, pretrained=False, device='cpu')
        model.cfg = model._config
    elif cfg.default_scope == 'mmseg':
        from mmseg.apis import init_model

        model = init_model(cfg, None, device='cpu')
    else:
        from mmdet.apis import init_detector

        # It warns that classes are COCO's; they are set below.
        with warnings.catch_warnings(record=True):
            model = init_detector(cfg, None, palette='random', device='cpu')
    meta = load_weights(model, checkpoint, may_miss) if checkpoint else {}
    # As MMDetection 3 and 2 name them.
    meta = meta.get('dataset_meta') or {'classes': meta.get('CLASSES')}
    meta = {key.lower(): value for key, value in meta.items()}
    classes = list(meta.get('classes') or class_names(cfg))
    count = _count_classes(model)
    if count not in (None, len(classes)):
        raise ValueError(
            f"'{checkpoint or cfg.filename}' and its config name "
            f'{len(classes)} classes, and the model has {count}: name them in '
            'the config, by metainfo=dict(classes=(...)) of '
            'test_dataloader.dataset'
        )
    model.dataset_meta = {**meta, 'classes': classes}
    return model


def _count_classes(model: Any) -> int | None:
    """The number of a detector's classes, if all have boxes."""
    if hasattr(model, 'semantic_head'):
        return None
    head = getattr(getattr(model, 'roi_head', model), 'bbox_head', None)
    head = head or getattr(model, 'bbox_head', None)
    if isinstance(head, nn.ModuleList):  # a cascade
        head = head[-1]
    return getattr(head, 'num_classes', None)
