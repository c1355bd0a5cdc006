"""Exported files in int8, by the quantizers of onnxruntime and NNCF."""

import importlib.util
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor, nn

from mmvovnet.tasks import library, pipeline_of

from .inference.runtime import load_exported

_PACKAGES = {'onnx': 'onnxruntime', 'openvino': 'nncf'}
# What onnxruntime computes in int8: convs, and what lies between them.
_OPERATORS = ('Conv', 'Relu', 'MaxPool', 'Concat')


def calibration_images(
    model: nn.Module, config: str | Path, number: int
) -> list[Tensor]:
    """Read images by which the ranges of a model's values are found.

    Args:
        model (nn.Module): What :func:`mmvovnet.apis.build_model` returns.
        config (str | Path): The config of whose training set they are, in
            equal steps, prepared as for a test.
        number (int): How many; all of a smaller set.

    Returns:
        list[Tensor]: Normalised images, each of shape (1, C, H, W).

    Raises:
        ValueError: If the number is not positive, or the config trains on
            nothing.
    """
    if number < 1:
        raise ValueError(f'expected one calibration image or more: {number}')
    cfg = Config.fromfile(config)
    if 'train_dataloader' not in cfg or 'test_dataloader' not in cfg:
        raise ValueError(
            f"'{config}' has no train_dataloader and test_dataloader, whose "
            'images and whose pipeline are needed'
        )
    init_default_scope(library(cfg) or 'mmengine')
    dataset = DATASETS.build(
        _prepared(cfg.train_dataloader.dataset, pipeline_of(cfg))
    )
    step = max(len(dataset) / number, 1)
    indices = [int(i * step) for i in range(min(number, len(dataset)))]
    return [
        model.data_preprocessor(pseudo_collate([dataset[i]]))['inputs']
        for i in indices
    ]


def _plain(dataset: Any) -> Any:
    """Take off what repeats or mixes the images of a data set."""
    return _plain(dataset.dataset) if 'dataset' in dataset else dataset


def _prepared(dataset: Any, pipeline: list) -> dict:
    dataset = _plain(dataset)
    if 'datasets' in dataset:
        parts = [_prepared(part, pipeline) for part in dataset.datasets]
        return {**dataset, 'datasets': parts}
    return {**dataset, 'pipeline': pipeline}


def check_quantizer(format: str, images: Sequence[Tensor]) -> None:
    """Refuse what can't be quantized, before any work is done.

    Raises:
        ValueError: If there are no images, or the format knows no int8.
        ImportError: If the package that quantizes this format is missing.
    """
    if format not in _PACKAGES:
        raise ValueError(
            f'int8 is for the formats {[*_PACKAGES]}, not {format!r}'
        )
    if not len(images):
        raise ValueError('int8 needs one calibration image or more')
    if importlib.util.find_spec(_PACKAGES[format]) is None:
        raise ImportError(
            f'int8 in format {format!r} needs {_PACKAGES[format]}: '
            "pip install 'mmvovnet[export]'"
        )


def quantize(file: Path, images: Sequence[Tensor]) -> None:
    """Turn a file's convs, and what lies between them, to int8.

    Weights have a scale for each channel, values one for each tensor, by the
    least and the largest of them on the images. In float stay the convs that
    read the image, the last ones, which give scores and boxes, and all that
    comes after these. A log line names these convs, and the errors on the
    first image.

    Args:
        file (Path): A file by :func:`mmvovnet.deploy.export`, in ONNX or
            OpenVINO's format. It is replaced.
        images (Sequence[Tensor]): Normalised, each of shape (N, C, H, W).

    Raises:
        RuntimeError: If an output differs by more than half of its norm.
    """
    before = load_exported(file)(images[0])
    write = _quantize_onnx if file.suffix == '.onnx' else _quantize_openvino
    kept = write(file, images)
    after = load_exported(file)(images[0])
    errors = {
        name: float((after[name] - x).norm() / x.norm().clamp(min=1e-12))
        for name, x in before.items()
    }
    said = ', '.join(f'{name} {error:.1%}' for name, error in errors.items())
    print_log(
        f'int8: by {len(images)} images; convs in float: {", ".join(kept)}; '
        f'errors as shares of the outputs: {said}',
        logger='current',
    )
    if not max(errors.values()) < 0.5:
        raise RuntimeError(
            f'in int8 the model gives other outputs: {said}. Calibrate with '
            'more images, or such as it was trained on'
        )


def _quantize_onnx(file: Path, images: Sequence[Tensor]) -> list[str]:
    """Write the file anew, and name the convs that stay in float."""
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
    graph = onnx.load(file).graph
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.name)
    convs = [node.name for node in graph.node if node.op_type == 'Conv']
    excluded = _in_float(
        {
            node.name: [
                r for name in node.output for r in readers.get(name, [])
            ]
            for node in graph.node
        },
        convs,
        readers['images'],
    )
    quantize_static(
        file,
        file,
        Reader(),
        op_types_to_quantize=[*_OPERATORS],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=excluded,
    )
    return [
        node.input[1].removesuffix('.weight')
        for node in graph.node
        if node.op_type == 'Conv' and node.name in excluded
    ]


def _quantize_openvino(file: Path, images: Sequence[Tensor]) -> list[str]:
    """Write the file anew, and name the convs that stay in float."""
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(file)
    nodes = model.get_ordered_ops()
    readers = {
        node.get_friendly_name(): [
            reader.get_node().get_friendly_name()
            for output in node.outputs()
            for reader in output.get_target_inputs()
        ]
        for node in nodes
    }
    convs = [
        node.get_friendly_name()
        for node in nodes
        if node.get_type_name() in ('Convolution', 'GroupConvolution')
    ]
    inputs = [node.get_friendly_name() for node in model.get_parameters()]
    excluded = _in_float(readers, convs, readers[inputs[0]])
    quantized = nncf.quantize(
        model,
        nncf.Dataset([x.numpy() for x in images]),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=excluded, validate=False),
    )
    # The file is open as long as the model is: it is replaced, not changed.
    with TemporaryDirectory(dir=file.parent) as folder:
        written = Path(folder, file.name)
        openvino.save_model(quantized, written, compress_to_fp16=False)
        for suffix in ('.bin', '.xml'):
            os.replace(written.with_suffix(suffix), file.with_suffix(suffix))
    return [name for name in convs if name in excluded]


def _in_float(
    readers: Mapping[str, Sequence[str]],
    convs: Iterable[str],
    first: Iterable[str],
) -> list[str]:
    """Name the nodes that stay in float.

    Args:
        readers (Mapping): The nodes, each after those whose output it reads,
            with those that read its own.
        convs (Iterable[str]): Those that are convs.
        first (Iterable[str]): Those that read the image.

    Returns:
        list[str]: First convs, and nodes after which no conv comes.

    Example:
        >>> graph = dict(a=['b'], b=['relu'], relu=['c'], c=['exp'], exp=[])
        >>> _in_float(graph, 'abc', 'a')
        ['a', 'c', 'exp']
    """
    convs = set(convs)
    inner: set[str] = set()  # nodes after which a conv comes
    for name in reversed(readers):
        if not (convs | inner).isdisjoint(readers[name]):
            inner.add(name)
    inner -= convs.intersection(first)
    return [name for name in readers if name not in inner]
