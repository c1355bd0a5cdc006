"""Models measured side by side on one machine, for ``tools/benchmark.py``.

A row names a model and the modes that it runs in, as ``SOURCE:MODEL+MODE``::

    V-39                            a VoVNet of this package
    V-39+memory_efficient           with an option of VoVNet set to True
    timm:vovnet39a+checkpoint       timm's, with its gradient checkpointing
    mmvovnet:VoVNet                 a backbone by its registered name
    torchvision:densenet121+compile
    V-39+channels_last              weights and images in that order
    timm:vovnet39a+recompute        with the recomputation of
                                    MemoryEfficientHook, for any model
    configs/fcos_vovnet39.py        a config's, without losses and RoI heads
    V-39+fcos                       with FPN, FCOS's head and its losses;
                                    +compile compiles backbone and FPN
    V-39+fuse                       for inference: mmvovnet.deploy.fuse
    V-39+accelerate                 for inference: mmvovnet.deploy.accelerate
    V-39+fuse+freeze                compiled as well, with frozen weights
    V-39+fuse+autotune              by max-autotune, with frozen weights
    V-39+onnx, V-39+openvino        for inference: exported files
    V-39+onnx+int8                  quantized
    V-39+fuse+bf16                  in bfloat16: PyTorch's forms, OpenVINO

All rows take turns, so that a change of the machine's speed affects them all.
"""

from .comparison import measure
from .memory import cuda_memory
from .report import plot, table
from .rows import FORMS, QUICK_ROWS, ROWS, build_row
from .subject import (
    Measurement,
    Setting,
    Subject,
    describe_machine,
    scaling,
)

__all__ = [
    'FORMS',
    'QUICK_ROWS',
    'ROWS',
    'Measurement',
    'Setting',
    'Subject',
    'build_row',
    'cuda_memory',
    'describe_machine',
    'measure',
    'plot',
    'scaling',
    'table',
]
