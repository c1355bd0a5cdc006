"""The images that weights expect, and those that a model gets."""

import logging

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
    """Warns if weights of another code expect other images than they get.

    What they expect is known from when they were loaded, through ``load_from``
    or ``init_cfg``; the model's ``data_preprocessor`` decides what they get.
    Where names leave several codes possible, the images of any will do.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare mean, standard deviation and the order of channels."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        given = given_pixels(model)
        for module in model.modules():
            if not isinstance(module, VoVNet) or not module.pixels:
                continue
            expected, *others = module.pixels
            if given not in module.pixels:
                bgr_to_rgb = expected.order == 'RGB'
                guess = ''.join(f', or else {p}' for p in others)
                print_log(
                    f'The weights expect {expected}{guess}, and the model '
                    f'gets {given}: set data_preprocessor=dict('
                    f'mean={list(expected.mean)}, std={list(expected.std)}, '
                    f'bgr_to_rgb={bgr_to_rgb}), which mmpretrain calls '
                    'to_rgb.',
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
    mean, std = (
        tuple(
            round(x, 4) for x in getattr(preprocessor, name).flatten().tolist()
        )
        if hasattr(preprocessor, name)
        else default
        for name, default in (('mean', (0.0,) * 3), ('std', (1.0,) * 3))
    )
    return Pixels('RGB' if to_rgb else 'BGR', mean, std)
