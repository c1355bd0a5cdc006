"""One-Shot Aggregation, the idea of VoVNet."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from .layers import GATES, conv_unit
from .memory import SMALL_BYTES, checkpoint_module


class Concatenation:
    """Keeps maps, and aggregates their concatenation.

    Args:
        unit (ConvModule): 1x1 conv, norm and activation that aggregate.
        widths (Sequence[int]): Channels of each map.
    """

    def __init__(self, unit: ConvModule, widths: Sequence[int]) -> None:
        self.unit = unit
        self.maps: list[Tensor] = []

    def append(self, x: Tensor) -> None:
        """Take the next map, ``(N, C_i, H, W)``."""
        self.maps.append(x)

    def aggregate(self) -> Tensor:
        """Give the aggregated map, ``(N, K, H, W)``."""
        return self.unit(torch.cat(self.maps, dim=1))


class RunningSum(Concatenation):
    """Adds up the aggregation map by map, and keeps none of them.

    A 1x1 conv of concatenated maps is the sum of 1x1 convs of the maps, each
    by its slice of the weight. A map and its gradient are gone before the
    next ones come. The values differ by rounding.
    """

    def __init__(self, unit: ConvModule, widths: Sequence[int]) -> None:
        super().__init__(unit, widths)
        self.slices = iter(unit.conv.weight.split(list(widths), dim=1))
        self.total: Any = None  # a Tensor from the first map on

    def append(self, x: Tensor) -> None:
        """Add the next map's share."""
        if self.total is None:
            self.total = F.conv2d(x, next(self.slices), self.unit.conv.bias)
        else:
            self.total += F.conv2d(x, next(self.slices))

    def aggregate(self) -> Tensor:
        """Normalise and activate the sum."""
        out = self.total
        if self.unit.with_norm:
            out = self.unit.norm(out)
        return self.unit.activate(out) if self.unit.with_activation else out


class OSAModule(BaseModule):
    """One-Shot Aggregation (arXiv 1904.09730, section 3.2 and Figure 1b).

    A chain of equally wide 3x3 convs. Where DenseNet feeds every output to
    all later layers, here input and outputs are concatenated once, at the
    end, and a 1x1 conv aggregates them. Equal input and output channels give
    a conv its lowest memory access cost (Eq. 1).

    VoVNetV2 (arXiv 1911.06667, Figure 3) weights the result by a channel gate
    and adds the module's input.

    Args:
        in_channels (int): Input channels.
        conv_channels (int): Channels of the 3x3 convs.
        out_channels (int): Channels after aggregation.
        num_layers (int): Number of 3x3 convs.
        dilation (int): Dilation of the 3x3 convs. Defaults to 1.
        depthwise (bool): Depthwise separable 3x3 convs; a 1x1 conv first
            brings the input to their width if it differs, while the
            concatenation takes the input before it. Defaults to False.
        bottleneck (bool): A 1x1 conv in front of every 3x3 conv, with half
            of ``conv_channels``: the ablation of arXiv 1904.09730, Table 3.
            Its text says half of the input's channels, which would give 5.15
            M parameters and 4.84 GMACs in DSOD300; this width gives the
            published 4.8 and 4.6. Defaults to False.
        gate (str): A key of :data:`mmvovnet.models.layers.GATES`. Defaults to
            'none'.
        identity (bool): Add the input to the output. Defaults to False.
        drop_path (float): Probability to drop all but the identity of a
            sample, in training. Defaults to 0.
        with_cp, memory_efficient, conv_cfg, norm_cfg, act_cfg: As for
            :class:`mmvovnet.models.VoVNet`; ``conv_cfg`` is for the 3x3 convs.
        init_cfg (dict, optional): Initialisation. Defaults to None.

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
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            squeeze = []
            if bottleneck:
                squeeze = [conv_unit(width, conv_channels // 2, 1, **cfg)]
                width = conv_channels // 2
            conv = conv_unit(
                width,
                conv_channels,
                dilation=dilation,
                depthwise=depthwise,
                conv_cfg=conv_cfg,
                **cfg,
            )
            self.layers.append(
                nn.Sequential(*squeeze, conv) if bottleneck else conv
            )
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
        maps = self.aggregation(x)(self.aggregate, self.widths)
        maps.append(x)
        out = x if self.reduction is None else self.reduction(x)
        for layer in self.layers:
            out = layer(out)
            maps.append(out)
        out = maps.aggregate()
        if self.gate is not None:
            out = self.gate(out)
        if self.drop_path is not None:
            out = self.drop_path(out)
        return out + x if self.identity else out

    def aggregation(self, x: Tensor) -> type[Concatenation]:
        """Choose how to aggregate, by the module's input.

        In training the sum saves memory, and on a CPU time as well; a GPU
        would wait for its many launches where maps are small. It calls
        neither the unit nor its conv: with hooks, as FSDP has, or in the
        place of another conv it would be wrong.
        """
        unit, conv = self.aggregate, self.aggregate.conv
        sums = (
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
        return RunningSum if sums else Concatenation


def _is_hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
    )


def max_pool(
    stride: int = 2, dilation: int = 1, padding: int = 0
) -> nn.Module:
    """The 3x3 max pool in front of a stage.

    At stride 2 it halves the size. Without padding it rounds down, with
    padding up. At stride 1 it keeps the size; its maxima are those of stride
    2 and those of the places between them, so weights that were trained with
    stride 2 still fit.

    Args:
        stride (int): 1 or 2. Defaults to 2.
        dilation (int): Distance of the taps, the dilation of the stage
            before. Defaults to 1.
        padding (int): 0 for windows that start at the border, as in the
            authors' code, or 1 for windows centred on it, as in ResNet.
            Defaults to 0.

    Example:
        >>> x = torch.rand(1, 1, 7, 7)
        >>> torch.equal(max_pool(1)(x)[..., 1::2, 1::2], max_pool(2)(x))
        True
    """
    ceil_mode = not padding
    width = dilation if stride == 1 or padding else dilation - 1
    if width <= 1:  # the most that MaxPool2d takes
        return nn.MaxPool2d(3, stride, width, dilation, ceil_mode=ceil_mode)
    return nn.Sequential(
        nn.ConstantPad2d(width, -math.inf),
        nn.MaxPool2d(3, stride, 0, dilation, ceil_mode=ceil_mode),
    )


class OSAStage(BaseModule):
    """A max pool, if any, and One-Shot Aggregation modules.

    Args:
        num_modules (int): Number of modules.
        pool (nn.Module, optional): What comes first: see :func:`max_pool`.
        gate_place (str): Gate 'every' module or the 'last' one.
        identity (bool | str): Identity add in all modules but the first, or
            in 'every' one whose input and output channels are equal.
        drop_paths (tuple[float]): Drop path probability of each module; it
            takes effect where there is an identity add.
        in_channels, conv_channels, out_channels, num_layers, gate: As for
            :class:`OSAModule`.
        **kwargs: Other options of :class:`OSAModule`.
    """

    def __init__(
        self,
        in_channels: int,
        conv_channels: int,
        out_channels: int,
        num_modules: int,
        num_layers: int,
        pool: nn.Module | None,
        gate: str,
        gate_place: str,
        identity: bool | str,
        drop_paths: tuple[float, ...],
        **kwargs,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.blocks = nn.ModuleList()
        for i in range(num_modules):
            gated = gate_place == 'every' or i == num_modules - 1
            inputs = out_channels if i else in_channels
            same = inputs == out_channels and identity == 'every'
            adds = same or (bool(identity) and i > 0)
            self.blocks.append(
                OSAModule(
                    inputs,
                    conv_channels,
                    out_channels,
                    num_layers,
                    gate=gate if gated else 'none',
                    identity=adds,
                    drop_path=drop_paths[i] if adds else 0.0,
                    **kwargs,
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``."""
        if self.pool is not None:
            x = self.pool(x)
        for block in self.blocks:
            x = block(x)
        return x
