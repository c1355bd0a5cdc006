"""A training loop that can begin in the middle of an epoch."""

import mmengine.runner
from mmengine.registry import LOOPS as ROOT_LOOPS

from .randomness import set_state
from .signals import shield_children


@ROOT_LOOPS.register_module(force=True)
class EpochBasedTrainLoop(mmengine.runner.EpochBasedTrainLoop):
    """mmengine's loop, which also goes on within an epoch.

    mmengine starts the epoch over, and so trains on some images twice. Here
    the batches that were trained on are drawn once more, to bring the workers'
    generators to the same state, and skipped.
    """

    start = 0
    """Batches of the current epoch that an earlier run has trained on."""

    state = None
    """The generators' states after them."""

    def run_epoch(self) -> None:
        """Train on the batches of an epoch, or on the rest of them."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        with shield_children():
            batches = iter(self.dataloader)
        for index, batch in enumerate(batches):
            if index >= self.start:
                self.run_iter(index, batch)
            elif index == self.start - 1 and self.state is not None:
                set_state(self.state)
        self.start, self.state = 0, None
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
