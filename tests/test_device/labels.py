"""Tensors that compute on the CPU and say that they are on a GPU.

They are of device 'meta', which stands for the GPU. An op that mixes them
with tensors of the CPU raises, as on CUDA, and each time that the host would
wait for the GPU is noted: for a value, for the size of a result, or for a copy
to the CPU. The ops run on the values behind them.
"""

import importlib
import pkgutil
import sys
import typing
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import mmengine.structures.instance_data
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
)
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
GPU = torch.device('meta')
# Their result is a value, or has a size that depends on values.
WAITING = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.bincount.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
}
COPIES = (aten._to_copy.default, aten.copy_.default)
READS = (aten.index.Tensor, aten._unsafe_index.Tensor)
WRITES = (aten.index_put.default, aten.index_put_.default)

waits: Counter = Counter()  # of the file and line that waits


def wait():
    """Note the first line of a library that leads to this call."""
    frame = sys._getframe(1)
    while frame:
        name = frame.f_code.co_filename
        if any(f'/{lib}/' in name for lib in ('mmvovnet', 'mmdet', 'mmseg')):
            break
        frame = frame.f_back
    where = (
        f'{name.split("site-packages/")[-1]}:{frame.f_lineno}'
        if frame
        else '?'
    )
    waits[where] += 1


def value(x):
    return x.value if isinstance(x, Labelled) else x


def plain(function, *args, **kwargs):
    """Call on the values, without any of the modes here."""
    args, kwargs = tree_map(value, (args, kwargs))
    with _disable_current_modes():
        return function(*args, **kwargs)


class Labelled(torch.Tensor):
    """A tensor of the CPU, labelled as one of the GPU."""

    is_cuda = True

    @staticmethod
    def __new__(cls, x):
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            x.size(),
            strides=x.stride(),
            storage_offset=x.storage_offset(),
            dtype=x.dtype,
            device=GPU,
        )
        self.value = x
        return self

    def __init__(self, x):
        pass

    def __repr__(self):
        return f'Labelled({self.value})'

    def __deepcopy__(self, memo):
        copy = Labelled(self.value.detach().clone())
        return copy.requires_grad_(self.requires_grad)

    def __array__(self, *args, **kwargs):
        raise TypeError("can't convert a tensor of the GPU to numpy")

    numpy = __array__

    def tolist(self):
        wait()
        return self.value.tolist()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.new_tensor:
            kwargs = {'dtype': args[0].dtype, **kwargs, 'device': 'cpu'}
            return Labelled(plain(torch.tensor, *args[1:], **kwargs))
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            # PyTorch uploads an index that is a list.
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(
                Labelled(plain(torch.tensor, list(i)))
                if isinstance(i, list | range)
                else i
                for i in index
            )
            args = (args[0], index, *args[2:])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def dispatch(func, args, kwargs):
    """Run an op on the values; label what would be on the GPU."""
    tensors = [
        t for t in tree_flatten((args, kwargs))[0] if torch.is_tensor(t)
    ]
    labelled = [t for t in tensors if isinstance(t, Labelled)]
    others = [t for t in tensors if not isinstance(t, Labelled)]
    if labelled:
        refuse_mixed(func, args, others)
        if makes_wait(func, args, kwargs):
            wait()
    on_gpu = bool(labelled)
    if func is aten.copy_.default:
        on_gpu = isinstance(args[0], Labelled)
    elif device := kwargs.get('device'):
        on_gpu = torch.device(device) == GPU
        kwargs = {**kwargs, 'device': torch.device('cpu')}
    out = func(*tree_map(value, args), **tree_map(value, kwargs))
    same = {id(value(t)): t for t in tensors}  # of an op in place

    def label(x):
        if not torch.is_tensor(x):
            return x
        return same.get(id(x)) if id(x) in same else wrap(x)

    def wrap(x):
        return Labelled(x) if on_gpu and not isinstance(x, Labelled) else x

    return tree_map(label, out)


def refuse_mixed(func, args, others):
    """Raise where CUDA would, of tensors of the CPU that an op takes."""
    wrong = [t for t in others if t.dim()]  # those without are numbers
    if func in COPIES:
        wrong = []
    elif func in READS + WRITES and isinstance(args[0], Labelled):
        wrong = [t for t in args[2:3] if any(t is w for w in wrong)]
    elif func in READS + WRITES:
        wrong = others
    if wrong:
        raise RuntimeError(
            f'{func} mixes tensors of the GPU and the CPU '
            f'({[tuple(t.shape) for t in wrong]})'
        )


def makes_wait(func, args, kwargs):
    """Whether an op with labelled tensors makes the host wait."""
    if func is aten._to_copy.default:
        return torch.device(kwargs.get('device') or GPU) != GPU
    if func is aten.copy_.default:
        return not isinstance(args[0], Labelled)
    if func is aten.repeat_interleave.Tensor:
        return kwargs.get('output_size') is None
    masked = func in READS + WRITES and any(
        i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]
    )
    if masked and func in WRITES:  # a single number fills without waiting
        return args[2].dim() > 0 or sum(i is not None for i in args[1]) > 1
    return masked or func in WAITING


class _Ops(TorchDispatchMode):
    """Factories of the GPU, and copies to it, make labelled tensors."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        device = kwargs.get('device')
        if device is not None and torch.device(device) == GPU:
            return dispatch(func, args, kwargs)
        if any(isinstance(t, Labelled) for t in tree_flatten(args)[0]):
            return dispatch(func, args, kwargs)
        return func(*args, **kwargs)


class _Functions(TorchFunctionMode):
    """So does ``torch.tensor``; of labelled numbers it asks the values."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor):
            data = args[0]
            parts = data if isinstance(data, list | tuple) else ()
            for part in parts:
                if isinstance(part, Labelled):
                    wait()
            device = torch.device(kwargs.get('device') or 'cpu')
            if not torch.is_tensor(data) and (parts or device == GPU):
                out = plain(func, *args, **{**kwargs, 'device': 'cpu'})
                return Labelled(out) if device == GPU else out
        return func(*args, **kwargs)


class _Extension:
    """mmcv's compiled ops, run on the values."""

    def __init__(self, extension):
        self.extension = extension

    def __getattr__(self, name):
        op = getattr(self.extension, name)

        def call(*args, **kwargs):
            tensors = [t for t in (*args, *kwargs.values()) if is_filled(t)]
            labelled = [t for t in tensors if isinstance(t, Labelled)]
            if labelled and len(labelled) < len(tensors):
                raise RuntimeError(f'{name} mixes the GPU and the CPU')
            if labelled and 'nms' in name:
                wait()
            out = plain(op, *args, **kwargs)
            if not labelled:
                return out
            return tree_map(
                lambda t: Labelled(t) if torch.is_tensor(t) else t, out
            )

        return call


def is_filled(x):
    return torch.is_tensor(x) and bool(x.numel())


class _IsMask(type):
    def __instancecheck__(cls, x):
        return isinstance(x, Labelled) and x.dtype == torch.bool


class _Mask(metaclass=_IsMask):
    """What mmengine takes for a mask, as torch.cuda.BoolTensor is."""


@contextmanager
def labelled_device():
    """Let the GPU be there: yield the count of waits, by file and line."""
    module = mmengine.structures.instance_data
    masks = SimpleNamespace(__args__=(*module.BoolTypeTensor.__args__, _Mask))
    index = typing.Union[module.IndexType, Labelled]  # noqa: UP007
    lifts = torch._C._only_lift_cpu_tensors()
    with (
        mock.patch.object(module, 'BoolTypeTensor', masks),
        mock.patch.object(module, 'IndexType', index),
        _extensions(),
        _Functions(),
        _Ops(),
    ):
        torch._C._set_only_lift_cpu_tensors(True)
        waits.clear()
        try:
            yield waits
        finally:
            torch._C._set_only_lift_cpu_tensors(lifts)


@contextmanager
def _extensions():
    import mmcv.ops

    modules = [
        importlib.import_module(f'mmcv.ops.{info.name}')
        for info in pkgutil.iter_modules(mmcv.ops.__path__)
    ]
    modules = [m for m in modules if hasattr(m, 'ext_module')]
    old = [m.ext_module for m in modules]
    for module in modules:
        module.ext_module = _Extension(module.ext_module)
    try:
        yield
    finally:
        for module, extension in zip(modules, old, strict=True):
            module.ext_module = extension


def label(model: nn.Module) -> nn.Module:
    """Put a model on the GPU."""
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = nn.Parameter(
                    Labelled(p.detach()), requires_grad=p.requires_grad
                )
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = Labelled(buffer)
        if hasattr(module, '_device'):  # of mmengine's data preprocessor
            module._device = GPU
    return model
