"""Learning rates that fall from the head to the first layer."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvovnet.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Layer-wise learning rate decay of any model with a VoVNet in it.

    The layer before the last gets the learning rate times
    ``layer_decay_rate``, the one before that times its square, and so on
    (ELECTRA, arXiv 2003.10555, section 3.1). Layers are a VoVNet's stem and
    its OSA modules, as ``get_layer_depth`` counts them. Neck and heads keep
    the full rate. MMPretrain's constructor is for classifiers alone.

    Example:
        >>> from mmvovnet import VoVNet
        >>> build = LayerDecayOptimWrapperConstructor(
        ...     dict(optimizer=dict(type='SGD', lr=1.0)),
        ...     dict(layer_decay_rate=0.5),
        ... )
        >>> groups = build(VoVNet('V-27-slim')).optimizer.param_groups
        >>> groups[0]['lr'], groups[-1]['lr']  # stem, last of 4 modules
        (0.03125, 0.5)
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = '',
        **kwargs: Any,
    ) -> None:
        """Add the parameters of a module, with a learning rate of each.

        Raises:
            ValueError: The rate is not in (0, 1], or no backbone has layers.
        """
        super().add_params(params, module, prefix, **kwargs)
        if prefix:
            return
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise ValueError(
                f'layer_decay_rate={rate} must be above 0 and at most 1: set '
                'paramwise_cfg=dict(layer_decay_rate=0.8), for example'
            )
        scales = {}
        backbone: Any
        for backbone in module.modules():
            if hasattr(backbone, 'get_layer_depth'):
                for name, parameter in backbone.named_parameters():
                    depth, depths = backbone.get_layer_depth(name)
                    scales[id(parameter)] = rate ** (depths - depth - 1)
        if not scales:
            raise ValueError(
                f'{type(module).__name__} has no backbone that counts its '
                "layers (get_layer_depth), which this package's have"
            )
        for group in params:
            scale = scales.get(id(group['params'][0]), 1.0)
            group['lr'] = group.get('lr', self.base_lr) * scale
