"""Models as files that need neither mmengine nor mmdet to run."""

import importlib.util
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from mmvovnet.fileio import keep_apart, part_folder

from . import SUFFIXES
from .detections import Detections, onnx_suppress
from .folding import fuse
from .inference.runtime import load_exported
from .outputs import Boxes, RawOutputs, RefinedBoxes
from .quantize import quantize

_NEEDS = {
    'onnx': ('onnx', 'onnxscript', 'onnxruntime'),
    'openvino': ('openvino',),
}
_AUTO: Any = torch.export.Dim.AUTO
_FREE = {0: _AUTO, 2: _AUTO, 3: _AUTO}


def export(
    model: nn.Module,
    path: str | os.PathLike,
    format: str = 'onnx',
    outputs: str | None = None,
    metadata: dict[str, Any] | None = None,
    size: tuple[int, int] = (256, 320),
    calibration: Sequence[Tensor] | None = None,
) -> dict[str, Any]:
    """Write a model to a file that runs without OpenMMLab.

    The model is folded by :func:`fuse` first. The file takes normalised
    images, float32 of shape (N, C, H, W), for any N, H and W. It is compared
    with the model, on other sizes too, before it appears under its name.

    Args:
        model (nn.Module): A VoVNet, a detector of MMDetection or a classifier
            of MMPretrain, in eval mode on the CPU.
        path (str | PathLike): File to write, with the suffix of its format in
            ``mmvovnet.deploy.SUFFIXES``. OpenVINO's weights go next to it.
        format (str): onnx, torchscript, torch-export or openvino.
        outputs (str, optional): 'raw' are feature maps, logits or a
            detection head's outputs; 'boxes' are a one-stage detector's
            decoded boxes and scores; 'detections' are what non-maximum
            suppression leaves of these, in ONNX alone, with CenterMask's
            masks. Defaults to the last of them that model and format have.
        metadata (dict, optional): What :func:`describe_model` returns, for
            the file.
        size (tuple[int, int]): Height and width to trace with.
        calibration (Sequence[Tensor], optional): Images by which an ONNX or
            OpenVINO file is turned to int8.

    Returns:
        dict: The metadata in the file.

    Raises:
        ValueError: If the format is unknown, or it or the model has no such
            outputs, or weights would overwrite a file that is not OpenVINO's.
        ImportError: If a package that the format needs is missing.
        RuntimeError: If the file's outputs differ from the model's.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmvovnet import VoVNet
        >>> model = VoVNet('V-27-slim').eval()
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, 'vovnet.torchscript')
        ...     export(model, path, 'torchscript', size=(64, 64))
        {'kind': 'raw', 'outputs': ['stage0', 'stage1', 'stage2', 'stage3']}
    """
    path = Path(path)
    if outputs is None:
        last = 'detections' if format == 'onnx' else 'boxes'
        outputs = last if hasattr(model, 'bbox_head') else 'raw'
    _check(path, format, outputs, calibration)
    module = _module(fuse(model), outputs)
    metadata = {**(metadata or {}), 'kind': outputs}
    if outputs != 'raw':
        metadata |= module.postprocessing
    fixed, step = _sides(metadata)
    # No map may be of one pixel, which torch.export takes for a constant.
    sides = fixed or [max(math.ceil(n / step), 2) * step for n in size]
    channels = getattr(getattr(model, 'backbone', model), 'in_channels', 3)
    images = torch.rand(2, channels, *sides)
    free = {0: _AUTO} if fixed else _FREE
    tests = [images[:1], torch.cat([images, images.flip(3)])]
    if not fixed:
        right, below = (math.ceil(n / step) * step for n in (36, 68))
        tests[1] = F.pad(images, (0, right, 0, below))
    with torch.no_grad():
        metadata['outputs'] = module.names(module(images))

    path.parent.mkdir(parents=True, exist_ok=True)
    with part_folder(path) as folder:
        file = folder / path.name
        _write(format, module, images, file, metadata, free)
        _compare(module, file, tests)
        if calibration is not None:
            quantize(file, calibration)
            tests = [*calibration[:1], *tests]
        if outputs == 'detections':
            tail = Detections(module)
            before = load_exported(file)
            metadata['outputs'] = tail.names
            _append(file, tail, before(images), metadata)
            _compare(
                lambda x: tail(*before(x).values()), file, tests, ordered=False
            )
        for part in sorted(folder.iterdir()):  # .bin before .xml
            os.replace(part, path.parent / part.name)
    return metadata


def files_of(path: str | os.PathLike) -> list[Path]:
    """The files of an exported model.

    Example:
        >>> [str(file) for file in files_of('model.xml')]
        ['model.xml', 'model.bin']
    """
    path = Path(path)
    ends = ('.xml', '.bin') if path.suffix == '.xml' else (path.suffix,)
    return [path.with_suffix(end) for end in ends]


def _check(path: Path, format: str, outputs: str, calibration: Any) -> None:
    if path.suffix != SUFFIXES.get(format):
        raise ValueError(
            f"'{path}' is no name for the format {format!r}: formats and "
            f'their suffixes are {SUFFIXES}'
        )
    known = ['raw', 'boxes'] + ['detections'] * (format == 'onnx')
    if outputs not in known:
        raise ValueError(
            f'outputs of the format {format!r} are {known}, not {outputs!r}'
        )
    if calibration is not None and not (
        calibration and format in ('onnx', 'openvino')
    ):
        raise ValueError(
            f'int8 is for the formats onnx and openvino, not {format!r}, and '
            f'needs one calibration image or more, got {len(calibration)}'
        )
    needs = [*_NEEDS.get(format, ())]
    needs += ['nncf'] * (calibration is not None and format == 'openvino')
    if missing := [n for n in needs if importlib.util.find_spec(n) is None]:
        raise ImportError(
            f'format {format!r} needs {", ".join(missing)}: '
            "pip install 'mmvovnet[export]'"
        )
    if not path.exists():  # else they are of an earlier export
        others = [file for file in files_of(path) if file.exists()]
        keep_apart(files_of(path), others)


def _module(model: Any, outputs: str) -> Any:
    if outputs == 'raw':
        return RawOutputs(model).eval()
    kind = RefinedBoxes if hasattr(model, 'arm_head') else Boxes
    masks = outputs == 'detections' and hasattr(model, 'roi_head')
    return kind(model, masks).eval()


def _sides(info: dict[str, Any]) -> tuple[list[int] | None, int]:
    """The (height, width) of all images, or None, and what divides both."""
    step = math.lcm(info.get('divisor', 1), info.get('pad_divisor', 1))
    fixed = info.get('pad_size')
    if not fixed and not info.get('keep_ratio', True):
        fixed = info['scale']
    if not fixed:
        return None, step
    return [math.ceil(n / step) * step for n in reversed(fixed)], step


def _write(
    format: str,
    module: nn.Module,
    images: Tensor,
    file: Path,
    metadata: dict[str, Any],
    free: dict[int, Any],
) -> None:
    text = json.dumps(metadata)
    extra = {'metadata.json': text}
    if format == 'torchscript':
        with torch.no_grad():
            traced: Any = torch.jit.trace(module, images, check_trace=False)
        torch.jit.save(traced, str(file), _extra_files=extra)
    elif format == 'torch-export':
        program = _program(module, (images,), free)
        torch.export.save(program, file, extra_files=extra)
    elif format == 'onnx':
        model = _onnx(module, {'images': images}, free, metadata)
        _save(model, file, metadata)
    else:
        import openvino

        given = [-1 if i in free else n for i, n in enumerate(images.shape)]
        with torch.no_grad():
            model = openvino.convert_model(
                module, example_input=images, input=given
            )
        model.set_rt_info(text, 'mmvovnet')
        openvino.save_model(model, file, compress_to_fp16=False)


def _program(
    module: nn.Module, args: tuple, free: dict | tuple
) -> torch.export.ExportedProgram:
    # It notes inequalities that it does not simplify.
    logger = logging.getLogger('torch.fx.experimental.symbolic_shapes')
    logger.setLevel(logging.ERROR)
    with torch.no_grad():
        return torch.export.export(module, args, dynamic_shapes=(free,))


def _onnx(
    module: nn.Module,
    example: dict[str, Tensor],
    free: dict | tuple,
    metadata: dict[str, Any],
) -> Any:
    args = tuple(example.values())
    program: Any = torch.onnx.export(
        _program(module, args, free),
        args,
        dynamo=True,
        verbose=False,
        input_names=[*example],
        output_names=metadata['outputs'],
        custom_translation_table={
            torch.ops.mmvovnet.suppress.default: onnx_suppress
        },
    )
    return program.model_proto


def _append(
    file: Path,
    tail: Detections,
    example: dict[str, Tensor],
    metadata: dict[str, Any],
) -> None:
    """Let an ONNX file compute what ``tail`` makes of its outputs."""
    import onnx

    front = onnx.load(file)
    maps = [_FREE] * (len(example) - 2)
    free = {0: _AUTO, 1: _AUTO}, {0: _AUTO, 2: _AUTO}, *maps
    end = onnx.compose.add_prefix(
        _onnx(tail, example, free, metadata),
        'tail/',
        rename_inputs=False,
        rename_outputs=False,
    )
    end.ir_version = front.ir_version
    same = [(name, name) for name in example]
    _save(onnx.compose.merge_models(front, end, same), file, metadata)


def _save(model: Any, file: Path, metadata: dict[str, Any]) -> None:
    import onnx

    onnx.helper.set_model_props(model, {'mmvovnet': json.dumps(metadata)})
    onnx.checker.check_model(model)
    onnx.save(model, file)


def _compare(
    model: Callable[[Tensor], tuple[Tensor, ...]],
    file: Path,
    tests: Sequence[Tensor],
    ordered: bool = True,
) -> None:
    """Raise unless a file computes what a model does."""
    exported = load_exported(file)
    for images in tests:
        with torch.no_grad():
            expected = model(images)
        for (name, actual), wanted in zip(
            exported(images).items(), expected, strict=True
        ):
            if not ordered:
                actual, wanted = actual.sort(0)[0], wanted.sort(0)[0]
            largest = float(wanted.abs().max()) if wanted.numel() else 0
            try:
                assert_close(actual, wanted, rtol=0, atol=1e-3 * largest)
            except AssertionError as error:
                raise RuntimeError(
                    f'the exported file computes another {name!r} for images '
                    f'of shape {tuple(images.shape)}: {error}'
                ) from error
