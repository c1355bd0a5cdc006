"""Models from configs, as MMDetection's and MMPretrain's own ``apis``."""

import os

from mmengine.config import Config
from torch import nn


def build_model(
    config: str | os.PathLike, checkpoint: str | None = None
) -> nn.Module:
    """Build a detector or classifier, by its library's own function.

    Args:
        config (str | PathLike): A config of MMDetection's or MMPretrain's
            kind; its ``default_scope`` says which.
        checkpoint (str, optional): Weights. Defaults to None, random ones.

    Returns:
        nn.Module: The model, in eval mode on the CPU.
    """
    cfg = Config.fromfile(config)
    if cfg.get('default_scope') == 'mmpretrain':
        from mmpretrain.apis import get_model

        return get_model(cfg, pretrained=checkpoint, device='cpu')
    from mmdet.apis import init_detector
    from mmdet.registry import DATASETS

    model = init_detector(cfg, checkpoint, device='cpu')
    if checkpoint is None:  # mmdet assumes COCO's classes then
        dataset = DATASETS.get(cfg.test_dataloader.dataset.type)
        model.dataset_meta = {
            **dataset.METAINFO,
            **cfg.test_dataloader.dataset.get('metainfo', {}),
        }
    return model
