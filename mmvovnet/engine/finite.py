"""Training stops at the first loss or weight that is not finite."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmvovnet.registry import HOOKS
from mmvovnet.weights.adapter import not_finite


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first loss or weight that is NaN or infinite.

    mmengine trains on, and overwrites good checkpoints.
    """

    priority = 'VERY_HIGH'  # before a checkpoint is saved

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Look at the losses; a FloatingPointError names those not finite."""
        losses = {
            name: value.detach()
            for name, value in (outputs or {}).items()
            if isinstance(value, Tensor)
        }
        finite = [value.isfinite().all() for value in losses.values()]
        if finite and not torch.stack(finite).all():  # one wait for a GPU
            wrong = ', '.join(
                f'{name} is {value.float().mean().item()}'
                for name, value in losses.items()
                if not value.isfinite().all()
            )
            rates = [*runner.optim_wrapper.get_lr().values()]
            raise FloatingPointError(
                f'iteration {runner.iter + 1} (epoch {runner.epoch + 1}): '
                f'{wrong}; images: {", ".join(_images(data_batch)) or "?"}; '
                f'learning rate {rates[0][0] if rates else "?"}. Nothing of '
                'this iteration was saved. Look at these images and their '
                'boxes (tools/check_data.py does), at mean and std of the '
                'data_preprocessor, or lower the learning rate.'
            )

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Look at the weights before they take a good checkpoint's place."""
        if wrong := not_finite(checkpoint['state_dict']):
            raise FloatingPointError(
                f'after iteration {runner.iter + 1}, {len(wrong)} weights are '
                f"NaN or infinite, the first is '{wrong[0]}': no checkpoint "
                'is saved, the last one stays. Lower the learning rate, or '
                'clip gradients (optim_wrapper.clip_grad).'
            )


def _images(batch: Any, most: int = 8) -> list[str]:
    """The files that a batch of mmdet or mmpretrain was read from."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else []
    paths = [
        str(path)
        for sample in samples or []
        if (path := getattr(sample, 'img_path', None))
    ]
    return paths[:most] + ['...'] * (len(paths) > most)
