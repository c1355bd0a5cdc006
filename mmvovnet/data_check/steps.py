"""One step of training and one of validation, before the first real one."""

import io
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from traceback import walk_tb
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn

from mmvovnet.tasks import dicts, dotted, parts

from .report import ERROR, Report


def try_steps(cfg: Config, described: dict, report: Report) -> None:
    """Build the model, train it on two images and validate it on two.

    No weights are loaded and nothing is saved. The report gets what is
    raised, with the key of the config whose part raised it.
    """
    model: Any = None
    stage = 'model'
    logger = MMLogger.get_current_instance()
    logger.disabled = True  # a line for each parameter
    try:
        with redirect_stdout(io.StringIO()):  # of COCO's metric
            model = MODELS.build(described).to(get_device())
            stage = 'train_dataloader'
            batch, _ = _batch(cfg[stage])
            stage = 'optim_wrapper'
            optimizer = build_optim_wrapper(model, cfg[stage])
            stage = 'model'
            loss = model.train().train_step(batch, optimizer)['loss']
            if not torch.isfinite(loss):
                raise ValueError(f'the loss is {float(loss)}')
            if not (cfg.get('val_dataloader') and cfg.get('val_evaluator')):
                return
            stage = 'val_dataloader'
            batch, metainfo = _batch(cfg[stage])
            stage = 'model'
            with torch.no_grad():
                outputs = model.eval().val_step(batch)
            stage = 'val_evaluator'
            evaluator = Evaluator(_metrics(cfg[stage]))
            evaluator.dataset_meta = metainfo
            evaluator.process(outputs, batch)
            evaluator.evaluate(len(outputs))
    except Exception as error:  # whatever a part of the config raises
        key = next(_culprits(error, cfg, stage, model), stage)
        said = f'{type(error).__name__}: {error}'
        report.add(ERROR, key, f'a step on two images ends in {said}')
    finally:
        logger.disabled = False


def _batch(loader: Mapping[str, Any]) -> tuple[Any, Any]:
    """Two images of a data loader, and what its data set says of itself."""
    cfg = dict(loader, num_workers=0, persistent_workers=False)
    cfg.pop('prefetch_factor', None)
    cfg['batch_size'] = min(2, cfg.get('batch_size', 2))
    built = Runner.build_dataloader(cfg, seed=0)
    return next(iter(built)), built.dataset.metainfo


def _metrics(cfg: Any) -> list:
    """Metrics, but for those that would write files."""
    listed = cfg if isinstance(cfg, list | tuple) else [cfg]
    writes = {'outfile_prefix', 'out_file_path'}
    return [m for m in listed if not any(m.get(key) for key in writes)]


def _culprits(
    error: Exception, cfg: Config, stage: str, model: nn.Module | None
) -> Iterator[str]:
    """Keys of the parts that were at work, the innermost first."""
    modules = [] if model is None else model.named_modules()
    names = {id(module): name for name, module in modules}
    for frame, _ in reversed(list(walk_tb(error.__traceback__))):
        found, owner = frame.f_locals, frame.f_locals.get('self')
        if frame.f_code.co_name == 'build_from_cfg':
            yield from _places(found['cfg'], cfg.to_dict())
        elif isinstance(owner, Compose) and found.get('t') in owner.transforms:
            step = owner.transforms.index(found['t'])
            yield f'{stage}.dataset.pipeline[{step}]'
        elif names.get(id(owner)):
            yield dotted(('model', *parts(cfg.model, names[id(owner)])[0]))


def _places(part: Any, cfg: dict) -> Iterator[str]:
    """Keys under which a config has a part, to which its owner may add."""
    for path, node in dicts(cfg):
        if 'type' in node and all(part.get(k) == v for k, v in node.items()):
            yield dotted(path)
