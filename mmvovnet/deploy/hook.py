"""A hook that tests the folded model."""

from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from .folding import fuse


class FuseHook(Hook):
    """Fold the model's batch norms before a test, with its weights loaded.

    ``tools/test.py --fuse`` and ``--accelerate`` register it. Gradients are
    not synchronised in a test, so a distributed wrapper is taken off.

    Args:
        transform (Callable): :func:`fuse` or :func:`accelerate`.
    """

    priority = 'VERY_LOW'

    def __init__(
        self, transform: Callable[[nn.Module], nn.Module] = fuse
    ) -> None:
        self.transform = transform

    def before_test(self, runner: Runner) -> None:
        """Put the folded model in the place of the runner's."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        runner.model = self.transform(model.eval())
