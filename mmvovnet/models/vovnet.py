"""VoVNet, the backbone."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.model import BaseModule
from mmengine.registry import MODELS as ROOT_MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvovnet.registry import MODELS

from .archs import ARCHS, resolve_arch
from .checks import check_groups, check_indices, check_options
from .layers import conv_unit, max_pool
from .memory import recompute_contexts
from .osa import OSAModule, OSAStage

if TYPE_CHECKING:
    from mmvovnet.weights.dialects import Pixels


# In the root as well, so that `type='VoVNet'` builds from every scope; there
# it takes the place of the function that imports it.
@ROOT_MODELS.register_module(force=True)
@MODELS.register_module()
class VoVNet(BaseModule):
    """VoVNet and VoVNetV2.

    A stem of three 3x3 convs and stages of One-Shot Aggregation modules, of
    strides 4, 8, 16 and 32. See arXiv 1904.09730, Table 1, for V1, whose
    figure counts the convs, and arXiv 1911.06667 for V2, whose names end in
    ``-eSE``.

    The same name means different networks in public code. An ``arch`` is its
    authors' PyTorch code; options give the others:

    ========================== =============================================
    authors' PyTorch, V1, V2   the defaults
    paper (Caffe), V1          ``stem_strides=(2, 1, 1), identity=False``
    timm ``vovnet39a``         ``identity=False``
    timm ``ese_vovnet39b``     ``arch='V-39-eSE', gate_place='last'``
    vision-toolbox, V1, V2     ``stem_strides=(2, 1, 1), pool_padding=1,
                               identity='every'``
    ========================== =============================================

    Args:
        arch: A key of :attr:`arch_settings`, or a dict of the same fields.
        in_channels: Image channels.
        out_indices: Stages to return; 0 to 3 have strides 4 to 32, negative
            ones count from the end. Stages past the last of them are not
            built.
        frozen_stages: Stop gradients and batch norm statistics: -1 of
            nothing, 0 of the stem, n of the stem and the first n stages.
        stem_strides: Strides of the stem's convs. If their product is 4, the
            first stage has no max pool; if it is 2, it has one, as in the
            paper.
        strides: Stride of each stage's max pool, 2 or 1. None is 2 for each;
            a first stage without a pool counts as 1.
        dilations: Dilation of each stage's 3x3 convs, 1 where it is None.
            ``strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)`` keeps the last
            stages at stride 8, for segmentation, with the weights and the
            receptive field of stride 32.
        pool_padding: Padding of the stages' 3x3 max pools: 0 halves a side
            rounding down, 1, as in ResNet, rounding up.
        identity: Add a module's input to its output from a stage's second
            module on, or in 'every' module whose input and output channels
            are equal. None is as in ``arch``, also in the next two.
        gate: Channel gate: 'none', 'SE', 'eSE' or 'ECA'.
        gate_place: Gate 'every' module of a stage or its 'last'.
        bottleneck: A 1x1 conv in front of every 3x3 conv of a module, with
            half the channels (arXiv 1904.09730, Table 3).
        drop_path_rate: Drop path of the last module; it grows linearly from
            0 at the first. It acts on modules with an identity add.
        dcn: Deformable conv in place of the 3x3 convs of a stage's modules,
            such as ``dict(type='DCNv2')``.
        stage_with_dcn: For each stage, whether it has ``dcn``.
        norm_eval: Keep batch norms in eval mode in training, which stops
            their statistics.
        conv_cfg, norm_cfg, act_cfg: Conv of the stem and the modules' 3x3
            layers, norm and activation. ``requires_grad=False`` in
            ``norm_cfg`` stops gradients of norms' weights and biases.
        with_cp: Checkpointing: keep the input of each module only and
            recompute the rest in the backward pass. Batch norm statistics
            are updated once.
        memory_efficient: Keep the outputs of convs only and recompute norms,
            activations and gates in the backward pass: 0.42 times the memory
            of V-39; see docs/performance.md. A compiler does so by itself.
            With ``with_cp`` as well it keeps least.
        init_cfg: Initialisation. None is He initialisation by fan-in, as the
            authors do, and norms of weight 1.

    Attributes:
        out_channels (tuple[int]): Channels of each output: a neck's
            ``in_channels``.
        out_strides (tuple[int]): Input pixels per output pixel.
        pixels (tuple[Pixels]): The images that loaded weights of other code
            expect, the likeliest first where their names leave it open.

    Raises:
        TypeError: If a flag is no bool, or ``arch`` no str or dict.
        ValueError: If a value is out of range, or options exclude each
            other.

    Example:
        >>> import torch
        >>> from mmvovnet import VoVNet
        >>> model = VoVNet('V-27-slim', out_indices=(1, 2, 3)).eval()
        >>> model.out_channels
        (256, 384, 512)
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 64, 64))]
        [(1, 256, 8, 8), (1, 384, 4, 4), (1, 512, 2, 2)]
    """

    arch_settings = ARCHS

    def __init__(
        self,
        arch: str | dict = 'V-39',
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        stem_strides: Sequence[int] = (2, 1, 2),
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        pool_padding: int = 0,
        identity: bool | str | None = None,
        gate: str | None = None,
        gate_place: str | None = None,
        bottleneck: bool = False,
        drop_path_rate: float = 0.0,
        dcn: dict | None = None,
        stage_with_dcn: Sequence[bool] = (False, True, True, True),
        norm_eval: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict = dict(type='BN', requires_grad=True),  # noqa: B006
        act_cfg: dict = dict(type='ReLU', inplace=True),  # noqa: B006
        with_cp: bool = False,
        memory_efficient: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d', mode='fan_in'),
                dict(
                    type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']
                ),
            ]
        super().__init__(init_cfg)
        self.arch = resolve_arch(
            arch, identity=identity, gate=gate, gate_place=gate_place
        )
        num_stages = len(self.arch['num_modules'])
        self.out_indices = check_indices(out_indices, num_stages)
        # In the paper the first stage starts with a max pool as well.
        self.pooled = [*stem_strides].count(2) == 1
        if strides is None:
            strides = (2 if self.pooled else 1, *[2] * (num_stages - 1))
        self.in_channels = in_channels
        self.frozen_stages = frozen_stages
        self.stem_strides = stem_strides
        self.strides = strides
        self.dilations = (1,) * num_stages if dilations is None else dilations
        self.pool_padding = pool_padding
        self.bottleneck = bottleneck
        self.drop_path_rate = drop_path_rate
        self.dcn = dcn
        self.stage_with_dcn = stage_with_dcn
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.memory_efficient = memory_efficient
        check_options(self)

        cfg = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.stem = self._make_stem(cfg)
        self.stages = self._make_stages(cfg)
        check_groups(self)
        self.out_channels = tuple(
            self.arch['out_channels'][i] for i in self.out_indices
        )
        self.out_strides = tuple(
            math.prod((*stem_strides, *strides[: i + 1]))
            for i in self.out_indices
        )
        self._freeze()
        self.pixels: tuple[Pixels, ...] = ()
        self.starting = self.has_weights = False
        # Imported late, as it imports the models.
        from mmvovnet.weights.backbone import translate

        self.register_load_state_dict_pre_hook(translate)

    def _make_stem(self, cfg: dict[str, Any]) -> nn.Sequential:
        widths = (self.in_channels, *self.arch['stem_channels'])
        stem = nn.Sequential()
        for i in range(3):
            unit = conv_unit(
                widths[i],
                widths[i + 1],
                stride=self.stem_strides[i],
                depthwise=self.arch['depthwise'] and i > 0,
                **cfg,
            )
            stem.append(unit)
        return stem

    def _make_stages(self, cfg: dict[str, Any]) -> nn.ModuleList:
        arch = self.arch
        step = self.drop_path_rate / max(sum(arch['num_modules']) - 1, 1)
        depth = 0
        width = arch['stem_channels'][-1]
        stages = nn.ModuleList()
        for i in range(max(self.out_indices) + 1):
            pool = None
            if i > 0 or self.pooled:
                # The dilation of the stage before is that of its output.
                apart = self.dilations[i - 1] if i else 1
                pool = max_pool(self.strides[i], apart, self.pool_padding)
            deformed = self.dcn and self.stage_with_dcn[i]
            out_channels = arch['out_channels'][i]
            num_modules = arch['num_modules'][i]
            blocks = []
            for j in range(num_modules):
                gated = arch['gate_place'] == 'every' or j == num_modules - 1
                adds = bool(arch['identity']) and j > 0
                adds |= arch['identity'] == 'every' and width == out_channels
                blocks.append(
                    OSAModule(
                        width,
                        arch['conv_channels'][i],
                        out_channels,
                        arch['num_layers'],
                        dilation=self.dilations[i],
                        depthwise=arch['depthwise'],
                        bottleneck=self.bottleneck,
                        gate=arch['gate'] if gated else 'none',
                        identity=adds,
                        drop_path=step * depth if adds else 0.0,
                        with_cp=self.with_cp,
                        memory_efficient=self.memory_efficient,
                        **cfg | (dict(conv_cfg=self.dcn) if deformed else {}),
                    )
                )
                width = out_channels
                depth += 1
            stages.append(OSAStage(pool, blocks))
        return stages

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> 'VoVNet':
        """Build the backbone that published weights belong to, and load them.

        The weights, and the table of public files, determine ``arch``,
        ``gate``, ``gate_place``, ``bottleneck``, ``identity`` and
        ``in_channels``. The attribute ``pixels`` says which images they
        expect.

        Args:
            name: A name of docs/checkpoints.md, such as
                'ese_vovnet39b.ra_in1k'; the path of a file;
                ``hf-hub:USER/REPOSITORY``; or a URL.
            **options: Options of this class, such as ``out_indices``.

        Raises:
            CheckpointError: If the file is missing, is damaged, or holds no
                VoVNet or another one than ``options`` describe.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> import torch
            >>> from mmvovnet import VoVNet
            >>> with TemporaryDirectory() as folder:
            ...     path = f'{folder}/weights.pth'
            ...     torch.save(VoVNet('V-19-slim-eSE').state_dict(), path)
            ...     model = VoVNet.from_pretrained(path, out_indices=(3,))
            >>> model.out_channels
            (512,)
        """
        # Imported late, as it imports the models.
        from mmvovnet.weights.backbone import from_pretrained

        return from_pretrained(cls, name, **options)

    def init_weights(self) -> None:
        """Initialise; gates that loaded weights lack start open."""
        self.starting = True
        try:
            super().init_weights()
        finally:
            self.starting = False
        if self.has_weights and isinstance(self.init_cfg, dict):
            from mmvovnet.weights.public import published_pixels

            name = self.init_cfg.get('checkpoint', '')
            if self.in_channels == 3:
                self.pixels = published_pixels(name) or self.pixels

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of ``out_indices``, in their order.

        Images of shape (N, in_channels, H, W) give maps of shape
        (N, C, H / stride, W / stride). Where a size is odd, a conv of the
        stem rounds its half up, and a max pool down unless it is padded.
        """
        whole, part = recompute_contexts(self.stages, self.memory_efficient)
        outs = []
        with whole():
            with part():
                x = self.stem(x)
            for stage in self.stages:
                with part():
                    x = stage(x)
                outs.append(x)
        return tuple(outs[i] for i in self.out_indices)

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        for part in (self.stem, *self.stages[: self.frozen_stages]):
            part.eval()
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> 'VoVNet':
        """Set the mode; what is frozen stays in eval mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def get_layer_depth(
        self, param_name: str, prefix: str = ''
    ) -> tuple[int, int]:
        """Depth of a parameter, and the number of depths.

        For layer-wise learning rate decay: the stem has depth 0, each module
        is one deeper than the one before, and what does not have the
        backbone's prefix, such as 'backbone.', is deepest.

        Example:
            >>> model = VoVNet('V-39')
            >>> model.get_layer_depth('stages.2.blocks.1.aggregate.bn.bias')
            (4, 8)
        """
        blocks = self.arch['num_modules'][: len(self.stages)]
        num_depths = sum(blocks) + 2
        if not param_name.startswith(prefix):
            return num_depths - 1, num_depths
        part, *indices = param_name.removeprefix(prefix).split('.')
        if part == 'stem':
            return 0, num_depths
        stage, block = int(indices[0]), int(indices[2])
        return sum(blocks[:stage]) + block + 1, num_depths
