"""Models from configs."""

import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvovnet.tasks import class_names, model_of, require
from mmvovnet.weights.fit import load_weights


def build_model(
    config: str | os.PathLike | Config,
    checkpoint: str | None = None,
    may_miss: Sequence[str] = (),
) -> nn.Module:
    """Build the model of a config.

    Args:
        config (str | PathLike | Config): A config of MMDetection, MMPretrain
            or MMSegmentation.
        checkpoint (str, optional): Weights. Defaults to None, random ones.
        may_miss (Sequence[str]): Beginnings of the names of weights that the
            checkpoint need not hold.

    Returns:
        nn.Module: In eval mode on the CPU, with ``cfg`` and
        ``dataset_meta['classes']``: the checkpoint's names or the config's.

    Raises:
        CheckpointError: The checkpoint does not fit the model.
        ValueError: The config is of another library, or the number of names is
            not that of the detector's classes.
    """
    cfg = config if isinstance(config, Config) else Config.fromfile(config)
    known = ('mmdet', 'mmpretrain', 'mmseg')
    cfg.default_scope = require(cfg, known, 'a model from a config')
    init_default_scope(cfg.default_scope)
    cfg.model = model_of(cfg)
    model: Any = revert_sync_batchnorm(MODELS.build(cfg.model)).eval()
    model.cfg = cfg
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
