"""Exported files in int8, by the quantizers of onnxruntime and NNCF."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor
from torch.utils.data import ConcatDataset

from mmvovnet.tasks import leaves, library, pipeline_of

from .inference.runtime import load_exported


def calibration_images(
    model: Any, config: str | Path, number: int
) -> list[Tensor]:
    """Read images by which the ranges of a model's values are found.

    Args:
        model (nn.Module): What :func:`mmvovnet.apis.build_model` returns.
        config (str | Path): The images are those of its training set, in
            equal steps, prepared as for a test.
        number (int): How many; all of a smaller set.

    Returns:
        list[Tensor]: Normalised images, each of shape (1, C, H, W).

    Raises:
        ValueError: If the config has no training set or no test pipeline.
    """
    cfg = Config.fromfile(config)
    if 'train_dataloader' not in cfg:
        raise ValueError(
            f"'{config}' has no train_dataloader, whose images are needed"
        )
    init_default_scope(library(cfg) or 'mmengine')
    images: Any = ConcatDataset(
        DATASETS.build({**dataset, 'pipeline': pipeline_of(cfg)})
        for dataset in leaves(cfg.train_dataloader.dataset)
    )
    number = min(number, len(images))
    return [
        model.data_preprocessor(
            pseudo_collate([images[i * len(images) // number]])
        )['inputs']
        for i in range(number)
    ]


def quantize(file: Path, images: Sequence[Tensor]) -> None:
    """Turn a file's convs, and what lies between them, to int8.

    Weights have a scale for each channel, values one for each tensor, by the
    least and the largest of them on the images. In float stay the convs that
    read the image, the last ones, which give scores and boxes, and all that
    comes after these. A log line gives the errors on the first image.

    Raises:
        RuntimeError: If an output differs by more than half of its norm.
    """
    before = load_exported(file)(images[0])
    write = _quantize_onnx if file.suffix == '.onnx' else _quantize_openvino
    write(file, images)
    after = load_exported(file)(images[0])
    errors = {
        name: float((after[name] - x).norm() / x.norm().clamp(min=1e-12))
        for name, x in before.items()
    }
    said = ', '.join(f'{name} {error:.1%}' for name, error in errors.items())
    print_log(
        f'int8: by {len(images)} images; errors as shares of the outputs: '
        f'{said}',
        logger='current',
    )
    if not max(errors.values()) < 0.5:
        raise RuntimeError(
            f'in int8 the model gives other outputs: {said}. Calibrate with '
            'more images, or such as it was trained on'
        )


def _quantize_onnx(file: Path, images: Sequence[Tensor]) -> None:
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantType,
        quant_pre_process,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        batches = iter(images)

        def get_next(self) -> dict | None:
            x = next(self.batches, None)
            return None if x is None else {'images': x.numpy()}

    quant_pre_process(file, file, skip_symbolic_shape=True)
    nodes = onnx.load(file).graph.node
    readers: dict[str, list[str]] = {}  # of a value
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node.name)
    excluded = _in_float(
        {
            node.name: [r for x in node.output for r in readers.get(x, [])]
            for node in nodes
        },
        [node.name for node in nodes if node.op_type == 'Conv'],
        readers['images'],
    )
    quantize_static(
        file,
        file,
        Reader(),
        op_types_to_quantize=['Conv', 'Relu', 'MaxPool', 'Concat'],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=excluded,
    )


def _quantize_openvino(file: Path, images: Sequence[Tensor]) -> None:
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    core = openvino.Core()
    core.set_property({'ENABLE_MMAP': False})  # the file is written to below
    model = core.read_model(file)
    nodes = {op.get_friendly_name(): op for op in model.get_ordered_ops()}
    readers = {
        name: [
            reader.get_node().get_friendly_name()
            for output in op.outputs()
            for reader in output.get_target_inputs()
        ]
        for name, op in nodes.items()
    }
    kinds = ('Convolution', 'GroupConvolution')
    convs = [n for n, op in nodes.items() if op.get_type_name() in kinds]
    first = readers[model.get_parameters()[0].get_friendly_name()]
    quantized = nncf.quantize(
        model,
        nncf.Dataset([x.numpy() for x in images]),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(
            names=_in_float(readers, convs, first), validate=False
        ),
    )
    openvino.save_model(quantized, file, compress_to_fp16=False)


def _in_float(
    readers: Mapping[str, Sequence[str]],
    convs: Iterable[str],
    first: Iterable[str],
) -> list[str]:
    """Name the first convs, and the nodes after which no conv comes.

    ``readers`` are the nodes, in their order, with those that read them.

    Example:
        >>> graph = dict(a=['b'], b=['relu'], relu=['c'], c=['exp'], exp=[])
        >>> _in_float(graph, 'abc', 'a')
        ['a', 'c', 'exp']
    """
    convs = set(convs)
    inner: set[str] = set()  # nodes after which a conv comes
    for name in reversed(list(readers)):
        if not (convs | inner).isdisjoint(readers[name]):
            inner.add(name)
    inner -= convs.intersection(first)
    return [name for name in readers if name not in inner]
