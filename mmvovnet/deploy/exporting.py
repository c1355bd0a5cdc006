"""Models as files that need neither mmengine nor mmdet to run."""

import importlib.util
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from mmvovnet.leftovers import part_folder

from .describe import one_size
from .folding import fuse
from .inference.runtime import SUFFIXES, Exported, load_exported
from .metadata import decode
from .outputs import Boxes, BoxesAndMaps, RawOutputs, RefinedBoxes
from .quantize import check_quantizer, quantize

_NEEDS = {
    'onnx': ('onnx', 'onnxscript', 'onnxruntime'),
    'openvino': ('openvino',),
}

# From all boxes, (image, box, 4), and scores, (image, class, box), to those
# that are left; a row of `kept` is (image, class, box).
_NMS = """
<ir_version: 8, opset_import: ["" : {opset}]>
nms (float[n, b, 4] all_boxes, float[n, c, b] all_scores)
    => (float[k, 4] boxes, float[k] scores,
        int64[k] labels, int64[k] image_ids)
<int64[1] limit = {{{limit}}}, float[1] iou = {{{iou:f}}},
 float[1] above = {{0.0}}, int64[2] image_box = {{0, 2}},
 int64 image = {{0}}, int64 label = {{1}}, int64[1] classes = {{1}}>
{{
    {best}
    kept = NonMaxSuppression (all_boxes, candidates, limit, iou, above)
    scores = GatherND (candidates, kept)
    where = Gather <axis = 1> (kept, image_box)
    boxes = GatherND (all_boxes, where)
    {labels}
    image_ids = Gather <axis = 1> (kept, image)
}}
"""
_EACH_CLASS = dict(
    best='candidates = Identity (all_scores)',
    labels='labels = Gather <axis = 1> (kept, label)',
)
# A box is left for its best class alone, as it overlaps itself.
_ALL_CLASSES = dict(
    best="""candidates = ReduceMax (all_scores, classes)
    best = ArgMax <axis = 1, keepdims = 0> (all_scores)""",
    labels='labels = GatherND (best, where)',
)


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

    The model is folded by :func:`mmvovnet.deploy.fuse` first. The file takes
    normalised images, float32 of shape (N, C, H, W), for any N, H and W. It
    is run on other sizes than it was made with and compared with the model
    before it appears under its name.

    Args:
        model (nn.Module): A VoVNet, or a whole detector of MMDetection or
            classifier of MMPretrain, in eval mode on the CPU.
        path (str | PathLike): File to write, with the suffix in
            :data:`.inference.runtime.SUFFIXES`. OpenVINO's weights go next to
            it, with the suffix ``.bin``.
        format (str): onnx, torchscript, torch-export or openvino.
        outputs (str, optional): 'raw' are feature maps, logits or a
            detection head's outputs; 'boxes' are a one-stage detector's
            decoded boxes and scores; 'detections' are what non-maximum
            suppression leaves of these, in ONNX alone, with CenterMask's
            masks and their scores. Defaults to the last
            of them that model and format have.
        metadata (dict, optional): Stored in the file: what
            :func:`describe_model` returns. Values are anything
            that JSON knows.
        size (tuple[int, int]): Height and width to trace with.
        calibration (Sequence[Tensor], optional): Images by which the file is
            turned to int8, as :func:`.quantize.calibration_images` gives
            them; in ONNX and OpenVINO's format alone.

    Returns:
        dict: The metadata in the file.

    Raises:
        ValueError: If the format is unknown, or it or the model has no such
            outputs.
        ImportError: If a package that the format needs is missing.
        RuntimeError: If the file's outputs differ from the model's.
    """
    path = Path(path)
    _check(path, format)
    if calibration is not None:
        check_quantizer(format, calibration)
    if outputs is None:
        last = 'detections' if format == 'onnx' else 'boxes'
        outputs = last if hasattr(model, 'bbox_head') else 'raw'
    if outputs not in ('raw', 'boxes', 'detections'):
        raise ValueError(
            f"outputs must be 'raw', 'boxes' or 'detections', got {outputs!r}"
        )
    if outputs == 'detections' and format != 'onnx':
        raise ValueError(
            "outputs='detections' needs format='onnx', the one with an "
            f"operation for it, not {format!r}; use outputs='boxes'"
        )
    masks = outputs == 'detections' and hasattr(model, 'roi_head')
    module = _module(model, outputs, masks)
    metadata = {**(metadata or {}), 'kind': outputs}
    if outputs != 'raw':
        metadata |= module.postprocessing
    if calibration is not None:
        metadata['precision'] = 'int8'
    shape = _Shape(metadata, size)
    channels = getattr(getattr(model, 'backbone', model), 'in_channels', 3)
    images = torch.rand(2, channels, *shape.size)
    with torch.no_grad():
        names = module.names(module(images))
    metadata['outputs'] = names

    path.parent.mkdir(parents=True, exist_ok=True)
    with part_folder(path) as folder, _quiet():
        file = folder / path.name
        with torch.no_grad():
            _WRITERS[format](module, images, file, metadata, shape)
        tests = shape.tests(images)
        _compare(module, load_exported(file), tests)
        if calibration is not None:
            quantize(file, calibration)
            tests = [*calibration[:1], *tests]
        if outputs == 'detections':
            before = load_exported(file)
            metadata['outputs'] = _append_nms(file, metadata)
            branch = None
            if masks:
                from .masks import MaskBranch, append_masks

                branch = MaskBranch(module.model.roi_head).eval()
                metadata['outputs'] = append_masks(file, branch)
            _compare(_Detections(before, branch), load_exported(file), tests)
        for part in sorted(folder.iterdir()):  # .bin before .xml
            os.replace(part, path.parent / part.name)
    return metadata


def _module(model: nn.Module, outputs: str, masks: bool) -> Any:
    kind: Any = RawOutputs
    if outputs != 'raw':
        kind = BoxesAndMaps if masks else Boxes
        if hasattr(model, 'arm_head'):
            kind = RefinedBoxes
    kind(model)  # which refuses, before the work of folding
    return kind(fuse(model)).eval()


class _Shape:
    """Which heights and widths a file is made for.

    Args:
        metadata (dict): What is done to images, which may give all one size
            or sides that are multiples.
        size (tuple[int, int]): Height and width to trace with, else.
    """

    def __init__(self, metadata: dict, size: tuple[int, int]) -> None:
        fixed = one_size(metadata)
        self.step = math.lcm(
            metadata.get('divisor', 1), metadata.get('pad_divisor', 1)
        )
        self.free = fixed is None
        self.size = fixed or tuple(
            max(math.ceil(side / self.step), 2) * self.step for side in size
        )  # torch.export takes a factor of 1 for a constant

    def dynamic(self) -> dict[int, Any]:
        """What ``torch.export`` calls dynamic shapes."""
        free: Any = torch.export.Dim.DYNAMIC
        if not self.free:
            return {0: free}
        if self.step == 1:
            return {0: free, 2: free, 3: free}
        height, width = torch.export.dims('height', 'width')
        return {0: free, 2: self.step * height, 3: self.step * width}

    def tests(self, traced: Tensor) -> list[Tensor]:
        """Images of other numbers and sizes than the traced ones."""
        if not self.free:
            return [traced[:1], torch.cat([traced, traced.flip(3)])]
        pad = [math.ceil(n / self.step) * self.step for n in (36, 68)]
        return [traced[:1], F.pad(traced, (0, pad[0], 0, pad[1]))]


def _check(path: Path, format: str) -> None:
    if format not in SUFFIXES:
        raise ValueError(
            f'format must be one of {[*SUFFIXES]}, got {format!r}'
        )
    if path.suffix != SUFFIXES[format]:
        raise ValueError(
            f"a file of format {format!r} is named '*{SUFFIXES[format]}', "
            f"not '{path}'"
        )
    missing = [
        name
        for name in _NEEDS.get(format, ())
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ImportError(
            f'format {format!r} needs {", ".join(missing)}: '
            "pip install 'mmvovnet[export]'"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back torch.export's notes on inequalities it does not simplify."""
    logger = logging.getLogger('torch.fx.experimental.symbolic_shapes')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _program(
    module: nn.Module, images: Tensor, shape: _Shape
) -> torch.export.ExportedProgram:
    return torch.export.export(
        module, (images,), dynamic_shapes=(shape.dynamic(),)
    )


def _write_onnx(
    module: nn.Module,
    images: Tensor,
    file: Path,
    metadata: dict,
    shape: _Shape,
) -> None:
    import onnx

    program = torch.onnx.export(
        _program(module, images, shape),
        (images,),
        dynamo=True,
        verbose=False,
        input_names=['images'],
        output_names=metadata['outputs'],
    )
    model = program.model_proto
    _set_metadata(model, metadata)
    onnx.save(model, file)


def _set_metadata(model: Any, metadata: dict) -> None:
    import onnx

    onnx.helper.set_model_props(
        model, {key: json.dumps(value) for key, value in metadata.items()}
    )


def _write_torchscript(
    module: nn.Module,
    images: Tensor,
    file: Path,
    metadata: dict,
    shape: _Shape,
) -> None:
    traced = torch.jit.trace(module, images, check_trace=False)
    extra = {'metadata.json': json.dumps(metadata)}
    torch.jit.save(traced, str(file), _extra_files=extra)


def _write_torch_export(
    module: nn.Module,
    images: Tensor,
    file: Path,
    metadata: dict,
    shape: _Shape,
) -> None:
    extra = {'metadata.json': json.dumps(metadata)}
    torch.export.save(_program(module, images, shape), file, extra_files=extra)


def _write_openvino(
    module: nn.Module,
    images: Tensor,
    file: Path,
    metadata: dict,
    shape: _Shape,
) -> None:
    import openvino

    sides = [-1, -1] if shape.free else list(shape.size)
    given = openvino.PartialShape([-1, images.size(1), *sides])
    model = openvino.convert_model(module, example_input=images, input=given)
    for key, value in metadata.items():
        model.set_rt_info(json.dumps(value), ['mmvovnet', key])
    openvino.save_model(model, file, compress_to_fp16=False)


_WRITERS = {
    'onnx': _write_onnx,
    'torchscript': _write_torchscript,
    'torch-export': _write_torch_export,
    'openvino': _write_openvino,
}


class _Detections:
    """What suppression and the mask branch make of a file's outputs.

    Args:
        before (Exported): A file with outputs 'all_boxes', 'all_scores' and
            maps.
        branch (nn.Module, optional): CenterMask's
            :class:`.masks.MaskBranch`.
    """

    def __init__(self, before: Exported, branch: nn.Module | None) -> None:
        self.before, self.branch = before, branch

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images to the outputs of the whole file, in another order."""
        info = self.before.metadata
        all_boxes, all_scores, *maps = self.before(images).values()
        parts = []
        for i, (boxes, scores) in enumerate(
            zip(all_boxes, all_scores, strict=True)
        ):
            found = _suppress(
                boxes, scores, info['iou_threshold'], info['class_agnostic']
            )
            labels = found[2]
            if info['class_agnostic']:
                labels = torch.zeros_like(labels)
            first = [  # as the operation limits each class
                (labels == label).nonzero()[: info['max_per_img'], 0]
                for label in labels.unique()
            ]
            kept = torch.cat([labels[:0], *first])
            parts.append(
                [*(part[kept] for part in found), torch.full_like(kept, i)]
            )
        found = tuple(torch.cat(part) for part in zip(*parts, strict=True))
        if self.branch is None:
            return found
        return *found, *self.branch(maps, *found)


def _suppress(
    boxes: Tensor, scores: Tensor, iou_threshold: float, class_agnostic: bool
) -> tuple[Tensor, ...]:
    """Suppress boxes (B, 4) of positive scores (classes, B)."""
    labels, index = scores.nonzero(as_tuple=True)
    boxes, scores = boxes[index], scores[labels, index]
    groups = torch.zeros_like(labels) if class_agnostic else labels
    keep = batched_nms(boxes, scores, groups, iou_threshold)
    return boxes[keep], scores[keep], labels[keep]


def _compare(
    model: Callable, exported: Exported, tests: Sequence[Tensor]
) -> None:
    """Raise unless a file computes what a model does."""
    for images in tests:
        with torch.no_grad():
            expected = model(images)
        for (name, actual), wanted in zip(
            exported(images).items(), expected, strict=True
        ):
            if actual.shape != wanted.shape:
                raise RuntimeError(
                    f'the exported file computes {name!r} of shape '
                    f'{tuple(actual.shape)}, not {tuple(wanted.shape)}'
                )
            if isinstance(model, _Detections):  # of any order
                actual, wanted = actual.sort(0)[0], wanted.sort(0)[0]
            if not actual.numel():
                continue
            error = (actual - wanted).abs().max()
            if not error <= 1e-3 * wanted.abs().max():
                raise RuntimeError(
                    f'the exported file computes another {name!r} for images '
                    f'of shape {tuple(images.shape)}: it differs by {error}'
                )


def _append_nms(file: Path, info: dict[str, Any]) -> list[str]:
    import onnx

    model = onnx.load(file)
    text = _NMS.format(
        opset=model.opset_import[0].version,
        limit=info['max_per_img'],
        iou=info['iou_threshold'],
        **(_ALL_CLASSES if info['class_agnostic'] else _EACH_CLASS),
    )
    tail = onnx.parser.parse_model(text)
    tail.ir_version = model.ir_version
    pairs = [(name.name, name.name) for name in tail.graph.input]
    merged = onnx.compose.merge_models(model, tail, pairs)
    names = [output.name for output in merged.graph.output]
    props = decode({p.key: p.value for p in model.metadata_props})
    _set_metadata(merged, {**props, 'outputs': names})
    onnx.checker.check_model(merged)
    onnx.save(merged, file)
    return names
