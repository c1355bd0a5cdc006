"""One-Shot Aggregation, the idea of VoVNet."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from .layers import GATES, conv_unit
from .memory import SMALL_BYTES, checkpoint_module


class OSAModule(BaseModule):
    """One-Shot Aggregation (arXiv 1904.09730, section 3.2 and Figure 1b).

    A chain of equally wide 3x3 convs. Where DenseNet feeds every output to
    all later layers, here input and outputs are concatenated once, at the
    end, and a 1x1 conv aggregates them. Equal input and output channels give
    a conv its lowest memory access cost (Eq. 1).

    VoVNetV2 (arXiv 1911.06667, Figure 3) weights the result by a channel gate
    and adds the module's input.

    Args:
        in_channels: Input channels.
        conv_channels: Channels of the 3x3 convs.
        out_channels: Channels after aggregation.
        num_layers: Number of 3x3 convs.
        dilation: Dilation of the 3x3 convs.
        depthwise: Depthwise separable 3x3 convs; a 1x1 conv first brings the
            input to their width if it differs, while the concatenation takes
            the input before it.
        bottleneck: A 1x1 conv in front of every 3x3 conv, with half of
            ``conv_channels``: the ablation of arXiv 1904.09730, Table 3. Half
            of the input's channels, as its text says, would give 5.15 M
            parameters in DSOD300, and not the published 4.8.
        gate: A key of :data:`mmvovnet.models.layers.GATES`.
        identity: Add the input to the output.
        drop_path: Probability to drop all but the identity of a sample, in
            training.
        with_cp, memory_efficient, conv_cfg, norm_cfg, act_cfg: As for
            :class:`mmvovnet.models.VoVNet`; ``conv_cfg`` is for the 3x3 convs.

    Example:
        >>> osa = OSAModule(128, 64, 256, num_layers=5, gate='eSE')
        >>> osa(torch.rand(1, 128, 8, 8)).shape
        torch.Size([1, 256, 8, 8])
    """

    sum_devices = ('cpu',)  # where all training adds up

    def __init__(
        self,
        in_channels: int,
        conv_channels: int,
        out_channels: int,
        num_layers: int,
        dilation: int = 1,
        depthwise: bool = False,
        bottleneck: bool = False,
        gate: str = 'none',
        identity: bool = False,
        drop_path: float = 0.0,
        with_cp: bool = False,
        memory_efficient: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = dict(type='BN'),  # noqa: B006
        act_cfg: dict | None = dict(type='ReLU'),  # noqa: B006
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        cfg: dict[str, Any] = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.identity = identity
        self.with_cp = with_cp
        self.memory_efficient = memory_efficient
        self.reduction = None
        width = in_channels
        if depthwise and in_channels != conv_channels:
            self.reduction = conv_unit(in_channels, conv_channels, 1, **cfg)
            width = conv_channels
        convs = cfg | dict(
            dilation=dilation, depthwise=depthwise, conv_cfg=conv_cfg
        )
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            if bottleneck:
                half = conv_channels // 2
                layer: nn.Module = nn.Sequential(
                    conv_unit(width, half, 1, **cfg),
                    conv_unit(half, conv_channels, **convs),
                )
            else:
                layer = conv_unit(width, conv_channels, **convs)
            self.layers.append(layer)
            width = conv_channels
        self.widths = [in_channels] + [conv_channels] * num_layers
        self.aggregate = conv_unit(sum(self.widths), out_channels, 1, **cfg)
        kind = GATES[gate]
        self.gate = kind(out_channels) if kind else None
        self.drop_path = DropPath(drop_path) if drop_path else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint_module(
                self, self._forward, x, self.memory_efficient
            )
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        if self.adds_up(x):
            out = add_up(self.aggregate, maps, self.widths)
        else:
            out = self.concatenate(maps)
        if self.gate is not None:
            out = self.gate(out)
        if self.drop_path is not None:
            out = self.drop_path(out)
        return out + x if self.identity else out

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Give what is aggregated, one after another: input and layers."""
        yield x
        if self.reduction is not None:
            x = self.reduction(x)
        for layer in self.layers:
            x = layer(x)
            yield x

    def concatenate(self, maps: Iterable[Tensor]) -> Tensor:
        """Aggregate all maps at once."""
        return self.aggregate(torch.cat([*maps], dim=1))

    def adds_up(self, x: Tensor) -> bool:
        """Whether :func:`add_up` aggregates, by the module's input.

        In training the sum saves memory, and on a CPU time as well; a GPU
        would wait for its many launches where maps are small. It calls
        neither the unit nor its conv: with hooks, as FSDP has, or in the
        place of another conv it would be wrong.
        """
        unit, conv = self.aggregate, self.aggregate.conv
        return (
            self.training
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()
            and type(unit) is ConvModule
            and type(conv) is nn.Conv2d
            and not (_is_hooked(unit) or _is_hooked(conv))
            and (
                x.device.type in self.sum_devices
                or (
                    self.memory_efficient
                    and x[:, :1].nbytes * conv.in_channels > SMALL_BYTES
                )
            )
        )


def add_up(
    unit: ConvModule, maps: Iterable[Tensor], widths: list[int]
) -> Tensor:
    """Aggregate maps of ``widths`` channels as they come, and keep none.

    A 1x1 conv of concatenated maps is the sum of 1x1 convs of the maps, each
    by its slice of the weight. A map and its gradient are gone before the
    next ones come. The values differ by rounding.
    """
    total: Any = None  # a Tensor from the first map on
    slices = unit.conv.weight.split(widths, dim=1)
    for x, weight in zip(maps, slices, strict=True):
        if total is None:
            total = F.conv2d(x, weight, unit.conv.bias)
        else:
            total += F.conv2d(x, weight)
    if unit.with_norm:
        total = unit.norm(total)
    return unit.activate(total) if unit.with_activation else total


def _is_hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
    )


class OSAStage(BaseModule):
    """A max pool, if any, and One-Shot Aggregation modules."""

    def __init__(
        self, pool: nn.Module | None, blocks: Iterable[OSAModule]
    ) -> None:
        super().__init__()
        self.pool = pool
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, K, H', W')``."""
        if self.pool is not None:
            x = self.pool(x)
        for block in self.blocks:
            x = block(x)
        return x
