"""The images that weights expect, and those that a model gets."""

import logging

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmvovnet.models import VoVNet
from mmvovnet.registry import HOOKS

from .dialects import Pixels


@HOOKS.register_module()
class PixelStatisticsHook(Hook):
    """Warns if weights of other code expect other images than they get.

    The model's ``data_preprocessor`` decides what they get. Where names leave
    several codes possible, the images of any will do.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare mean, standard deviation and the order of channels."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        given = given_pixels(model)
        for module in model.modules():
            pixels = module.pixels if isinstance(module, VoVNet) else ()
            if not pixels or given in pixels:
                continue
            expected = pixels[0]
            codes = ', or else '.join(map(str, pixels))
            print_log(
                f'The weights expect {codes}, and the model gets {given}: '
                'set data_preprocessor=dict('
                f'mean={list(expected.mean)}, std={list(expected.std)}, '
                f'bgr_to_rgb={expected.order == "RGB"}), which mmpretrain '
                'calls to_rgb.',
                logger='current',
                level=logging.WARNING,
            )

    before_val = before_test = before_train


def given_pixels(model: nn.Module) -> Pixels:
    """What the model's data preprocessor makes of an image file."""
    preprocessor = model.data_preprocessor
    # mmcv reads BGR; mmengine, mmseg and mmpretrain each have a name for this.
    names = ('_channel_conversion', 'channel_conversion', 'to_rgb')
    to_rgb = any(getattr(preprocessor, name, False) for name in names)

    def values(name: str, default: float) -> tuple[float, ...]:
        found = getattr(preprocessor, name, torch.full((3,), default))
        return tuple(round(value, 4) for value in found.flatten().tolist())

    return Pixels(
        'RGB' if to_rgb else 'BGR', values('mean', 0.0), values('std', 1.0)
    )
