"""Models from configs, as MMDetection's and MMPretrain's own ``apis``."""

import os
from collections.abc import Sequence

from mmengine.config import Config
from torch import nn

from mmvovnet.weights.fit import load_weights


def build_model(
    config: str | os.PathLike,
    checkpoint: str | None = None,
    may_miss: Sequence[str] = (),
) -> nn.Module:
    """Build a detector or classifier, by its library's own function.

    Args:
        config (str | PathLike): A config of MMDetection's or MMPretrain's
            kind; its ``default_scope`` says which.
        checkpoint (str, optional): Weights. Defaults to None, random ones.
        may_miss (Sequence[str]): Beginnings of the names of weights that the
            checkpoint need not hold.

    Returns:
        nn.Module: The model, in eval mode on the CPU.

    Raises:
        CheckpointError: The checkpoint lacks other weights, or holds them in
            another shape.
    """
    cfg = Config.fromfile(config)
    if cfg.get('default_scope') == 'mmpretrain':
        from mmpretrain.apis import get_model

        model = get_model(cfg, pretrained=checkpoint, device='cpu')
        if checkpoint is not None:
            load_weights(model, checkpoint, may_miss)
        return model
    from mmdet.apis import init_detector
    from mmdet.registry import DATASETS

    model = init_detector(cfg, checkpoint, device='cpu')
    if checkpoint is not None:
        load_weights(model, checkpoint, may_miss)
    else:  # mmdet assumes COCO's classes then
        dataset = DATASETS.get(cfg.test_dataloader.dataset.type)
        model.dataset_meta = {
            **dataset.METAINFO,
            **cfg.test_dataloader.dataset.get('metainfo', {}),
        }
    return model
