"""What the peers have in common."""

from mmengine.model import BaseModule
from torch import Tensor


class StagedBackbone(BaseModule):
    """A stem and stages; subclasses set both, and ``out_indices``."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Images, shape (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: One map per entry of ``out_indices``; their strides
            and channels stand at the class.
        """
        x = self.stem(x)
        outs = []
        for stage in self.stages:
            x = stage(x)
            outs.append(x)
        return tuple(outs[i] for i in self.out_indices)
