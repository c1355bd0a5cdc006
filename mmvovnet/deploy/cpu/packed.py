"""Convs whose weights are packed for the kernels of this package."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvovnet.models.osa import OSAModule

from .library import load_kernels

# G of arXiv 1509.09308, section 4.3, for F(4x4, 3x3).
FILTER_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


class PackedConv2d(nn.Conv2d):
    """A conv, and perhaps a ReLU, whose weight is packed for a kernel.

    The packed weight is made again when the conv's own has changed in place,
    or the module was moved, copied or unpickled. Only a change through
    ``weight.data``, of which PyTorch keeps no count, goes unseen.
    """

    packed: Tensor | None
    offset: Tensor | None

    def __init__(self, conv: nn.Conv2d, activate: bool = False) -> None:
        self.__dict__.update(conv.__dict__)  # its options and parameters
        self.activate = activate
        self.pack()

    def transform(self) -> Tensor:
        """Give the weight as a kernel multiplies by it: ``(P, C, K)``."""
        raise NotImplementedError

    @torch.no_grad()
    def pack(self) -> None:
        """Lay the weight out as ``(P * K / panel, C, panel)``.

        Without the kernels, or in another precision or on another device,
        there is nothing to pack, and PyTorch's conv runs.
        """
        version = self._versions()
        if not _fits(self.weight) or not load_kernels():
            self.packed = self.offset = None
            return
        panel = torch.ops.mmvovnet.panel()
        weight = F.pad(self.transform(), (0, -self.out_channels % panel))
        weight = weight.unflatten(-1, (-1, panel)).movedim(-2, -3)
        zeros = weight.new_zeros(self.out_channels)
        self.offset = zeros if self.bias is None else self.bias + zeros
        # Three dimensions: a model's `to(memory_format=channels_last)`
        # rearranges what has four.
        self.packed = weight.flatten(0, 1).contiguous()
        self.version = version  # last: other threads pack too, or see it all

    def _versions(self) -> tuple[int, ...]:
        return tuple(
            p._version for p in self.parameters() if not p.is_inference()
        )

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.pack()

    def _apply(self, *args: Any, **kwargs: Any) -> nn.Module:
        super()._apply(*args, **kwargs)
        self.pack()
        return self

    def __getstate__(self) -> dict:
        return self.__dict__ | dict(packed=None, offset=None)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self.pack()

    def serves(self, xs: Sequence[Tensor]) -> bool:
        """Whether a kernel can take these inputs."""
        compiler = torch.compiler
        # PyTorch before 2.7 does not tell an export from a compilation.
        exports = getattr(compiler, 'is_exporting', compiler.is_compiling)
        if torch.jit.is_tracing() or exports():
            return False
        if (
            not compiler.is_compiling()
            and self.packed is not None
            and self.version != self._versions()
        ):
            self.pack()
        learns = torch.is_grad_enabled() and any(
            t.requires_grad for t in (*xs, *self.parameters())
        )
        return (
            self.packed is not None
            and all(_fits(x) for x in xs)
            and not torch.is_autocast_enabled('cpu')
            and not learns
        )

    def plain(self, x: Tensor) -> Tensor:
        """PyTorch's conv, and the ReLU."""
        out = super().forward(x)
        return F.relu_(out) if self.activate else out


def _fits(x: Tensor) -> bool:
    return x.device.type == 'cpu' and x.dtype == torch.float32


class WinogradConv2d(PackedConv2d):
    """A 3x3 conv by F(4x4, 3x3) of arXiv 1509.09308, section 4.3."""

    def transform(self) -> Tensor:
        """Give ``G w G^T`` as ``(36, C, K)``."""
        g = self.weight.new_tensor(FILTER_TRANSFORM, dtype=torch.float64)
        weight = torch.einsum('ia,kcab,jb->ijck', g, self.weight.double(), g)
        return weight.flatten(0, 1).to(self.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, K, H, W)``."""
        if not self.serves([x]):
            return self.plain(x)
        return torch.ops.mmvovnet.winograd(
            x, self.packed, self.offset, self.activate
        )


class AggregateConv2d(PackedConv2d):
    """A 1x1 conv on maps that would be concatenated for it."""

    def transform(self) -> Tensor:
        """Give the weight as ``(1, C, K)``."""
        return self.weight.flatten(1).t().unsqueeze(0)

    def forward(self, xs: Sequence[Tensor]) -> Tensor:  # type: ignore
        """Map maps of ``(N, C_i, H, W)`` to ``(N, K, H, W)``."""
        if not self.serves(xs):
            return self.plain(torch.cat(tuple(xs), dim=1))
        return torch.ops.mmvovnet.aggregate(
            xs, self.packed, self.offset, self.activate
        )


class PackedOSAModule(OSAModule):
    """An OSA module whose aggregation is by an :class:`AggregateConv2d`."""

    def concatenate(self, maps: Iterable[Tensor]) -> Tensor:
        """Hand the kernel the maps as they are."""
        return self.aggregate([*maps])
