"""Testing what is shipped: the folded model."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from .fuse import fuse


class FuseHook(Hook):
    """Fold the model's batch norms before a test, with its weights loaded.

    ``tools/test.py --fuse`` registers it. Gradients are not synchronised in
    a test, so a distributed wrapper is taken off.
    """

    priority = 'VERY_LOW'

    def before_test(self, runner: Runner) -> None:
        """Put the folded model in the place of the runner's."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        runner.model = fuse(model.eval())
