"""Exported files in int8, by the quantizers of onnxruntime and NNCF."""

import logging
from collections.abc import Iterable, Sequence
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
    nodes = [
        (node.name, node.op_type == 'Conv', node.input, node.output)
        for node in onnx.load(file).graph.node
    ]
    quantize_static(
        file,
        file,
        Reader(),
        op_types_to_quantize=['Conv', 'Relu', 'MaxPool', 'Concat'],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=_in_float(nodes, 'images'),
    )


def _quantize_openvino(file: Path, images: Sequence[Tensor]) -> None:
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    core = openvino.Core()
    core.set_property({'ENABLE_MMAP': False})  # the file is written to below
    model = core.read_model(file)
    convs, nodes = ('Convolution', 'GroupConvolution'), []
    for op in model.get_ordered_ops():
        name, kind = op.get_friendly_name(), op.get_type_name()
        given = [x.get_node().get_friendly_name() for x in op.input_values()]
        nodes.append((name, kind in convs, given, [name]))
    images_name = model.get_parameters()[0].get_friendly_name()
    quantized = nncf.quantize(
        model,
        nncf.Dataset([x.numpy() for x in images]),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(
            names=_in_float(nodes, images_name), validate=False
        ),
    )
    openvino.save_model(quantized, file, compress_to_fp16=False)


def _in_float(
    nodes: Sequence[tuple[str, bool, Iterable[str], Iterable[str]]],
    image: str,
) -> list[str]:
    """Name the convs that read the image, and nodes with no conv behind them.

    Nodes, in their order, are their name, whether they are convs, and the
    names of what they read and of what they give.

    Example:
        >>> convs = dict(a=True, b=True, relu=False, c=True, exp=False)
        >>> chain = zip(convs, convs.values(), 'xabrc', 'abrce', strict=True)
        >>> _in_float([*chain], 'x')
        ['exp', 'c', 'a']
    """
    found: list[str] = []
    wanted: set[str] = set()  # by the convs behind
    for name, is_conv, inputs, outputs in reversed(nodes):
        is_last = wanted.isdisjoint(outputs)
        if is_last or (is_conv and image in inputs):
            found.append(name)
        if is_conv or not is_last:
            wanted.update(inputs)
    return found
