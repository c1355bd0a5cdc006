"""Models as files that need neither mmengine nor mmdet to run."""

import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvovnet.leftovers import part_folder

from .folding import fuse
from .inference.runtime import SUFFIXES, load_exported
from .metadata import decode
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
 int64 image = {{0}}, int64 label = {{1}}>
{{
    kept = NonMaxSuppression (all_boxes, all_scores, limit, iou, above)
    scores = GatherND (all_scores, kept)
    where = Gather <axis = 1> (kept, image_box)
    boxes = GatherND (all_boxes, where)
    labels = Gather <axis = 1> (kept, label)
    image_ids = Gather <axis = 1> (kept, image)
}}
"""


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
    detector = hasattr(model, 'bbox_head')
    if outputs is None:
        last = 'detections' if format == 'onnx' else 'boxes'
        outputs = last if detector else 'raw'
    if outputs == 'detections' and format != 'onnx':
        raise ValueError(
            "outputs='detections' needs format='onnx', the one with an "
            f"operation for it, not {format!r}; use outputs='boxes'"
        )
    if outputs == 'detections' and detector:
        nms = model.bbox_head.test_cfg['nms']['type']
        if nms != 'nms':
            raise ValueError(
                f"outputs='detections' has plain nms alone, not {nms!r}; use "
                "outputs='boxes'"
            )
    kinds = {'raw': RawOutputs, 'boxes': Boxes, 'detections': Boxes}
    if outputs not in kinds:
        raise ValueError(f'outputs must be one of {[*kinds]}, got {outputs!r}')
    masks = outputs == 'detections' and hasattr(model, 'roi_head')
    kind = BoxesAndMaps if masks else kinds[outputs]
    module = kind(fuse(model)).eval()
    channels = getattr(getattr(model, 'backbone', model), 'in_channels', 3)
    images = torch.rand(2, channels, *size)
    with torch.no_grad():
        names = module.names(module(images))
    metadata = {**(metadata or {}), 'kind': outputs, 'outputs': names}
    if calibration is not None:
        metadata['precision'] = 'int8'

    path.parent.mkdir(parents=True, exist_ok=True)
    with part_folder(path) as folder, _quiet():
        file = folder / path.name
        with torch.no_grad():
            _WRITERS[format](module, images, file, metadata)
        _compare(module, file, images)
        if calibration is not None:
            quantize(file, calibration)
        if outputs == 'detections':
            metadata['outputs'] = _append_nms(file, model.bbox_head.test_cfg)
        if masks:
            from .masks import append_masks

            metadata['outputs'] = append_masks(file, module.model.roi_head)
        for part in sorted(folder.iterdir()):  # .bin before .xml
            os.replace(part, path.parent / part.name)
    return metadata


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
    module: nn.Module, images: Tensor
) -> torch.export.ExportedProgram:
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: free, 2: free, 3: free},)
    return torch.export.export(module, (images,), dynamic_shapes=shapes)


def _write_onnx(
    module: nn.Module, images: Tensor, file: Path, metadata: dict
) -> None:
    import onnx

    program = torch.onnx.export(
        _program(module, images),
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
    module: nn.Module, images: Tensor, file: Path, metadata: dict
) -> None:
    traced = torch.jit.trace(module, images, check_trace=False)
    extra = {'metadata.json': json.dumps(metadata)}
    torch.jit.save(traced, str(file), _extra_files=extra)


def _write_torch_export(
    module: nn.Module, images: Tensor, file: Path, metadata: dict
) -> None:
    extra = {'metadata.json': json.dumps(metadata)}
    torch.export.save(_program(module, images), file, extra_files=extra)


def _write_openvino(
    module: nn.Module, images: Tensor, file: Path, metadata: dict
) -> None:
    import openvino

    shape = [-1, images.size(1), -1, -1]
    model = openvino.convert_model(
        module, example_input=images, input=openvino.PartialShape(shape)
    )
    for key, value in metadata.items():
        model.set_rt_info(json.dumps(value), ['mmvovnet', key])
    openvino.save_model(model, file, compress_to_fp16=False)


_WRITERS = {
    'onnx': _write_onnx,
    'torchscript': _write_torchscript,
    'torch-export': _write_torch_export,
    'openvino': _write_openvino,
}


def _compare(module: nn.Module, file: Path, traced: Tensor) -> None:
    """Raise unless the file computes what the module does, at two sizes."""
    exported = load_exported(file)
    for images in (traced[:1], F.pad(traced, (0, 36, 0, 68))):
        with torch.no_grad():
            expected = module(images)
        for (name, actual), wanted in zip(
            exported(images).items(), expected, strict=True
        ):
            if actual.shape != wanted.shape:
                raise RuntimeError(
                    f'the exported file computes {name!r} of shape '
                    f'{tuple(actual.shape)}, not {tuple(wanted.shape)}'
                )
            error = (actual - wanted).abs().max()
            if not error <= 1e-3 * wanted.abs().max():
                raise RuntimeError(
                    f'the exported file computes another {name!r} for images '
                    f'of shape {tuple(images.shape)}: it differs by {error}'
                )


def _append_nms(file: Path, test_cfg: dict) -> list[str]:
    import onnx

    model = onnx.load(file)
    text = _NMS.format(
        opset=model.opset_import[0].version,
        limit=test_cfg['max_per_img'],
        iou=test_cfg['nms']['iou_threshold'],
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


def describe_model(model: nn.Module) -> dict[str, Any]:
    """Collect what a user of an exported model must know.

    Args:
        model (nn.Module): What :func:`mmvovnet.apis.build_model` returns.

    Returns:
        dict: ``classes``; ``mean``, ``std`` and channel ``order`` (RGB, BGR
        or grey) of the input; ``scale``, the (width, height) into which test
        images fit, and ``divisor``, of which their padded sizes are
        multiples; a detector's ``iou_threshold`` and ``max_per_img``.
    """
    cfg = getattr(model, 'cfg', None) or model._config
    meta = getattr(model, 'dataset_meta', None) or model._dataset_meta
    images = cfg.model.data_preprocessor
    mean = list(images.get('mean', [0] * 3))
    swaps = images.get('bgr_to_rgb') or images.get('to_rgb')
    order = 'RGB' if swaps else 'BGR'
    result = dict(
        classes=list(meta.get('classes', [])),
        mean=mean,
        std=list(images.get('std', [1] * 3)),
        order=order if len(mean) == 3 else 'grey',
        divisor=images.get('pad_size_divisor', 1),
    )
    if hasattr(model, 'bbox_head'):
        pipeline = cfg.test_dataloader.dataset.pipeline
        scales = [t.scale for t in pipeline if t.type.endswith('Resize')]
        test_cfg = model.bbox_head.test_cfg
        result.update(
            scale=list(scales[0]),
            iou_threshold=test_cfg['nms']['iou_threshold'],
            max_per_img=test_cfg['max_per_img'],
        )
    return result


class RawOutputs(nn.Module):
    """A model of OpenMMLab as a function of a tensor to a tuple of tensors.

    Args:
        model (nn.Module): A backbone, or a whole detector or classifier.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.whole = hasattr(model, 'data_preprocessor')

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map normalised images, shape (N, C, H, W), to what ``names`` says.

        A backbone's feature maps, a classifier's logits, or each level's
        outputs of a detection head.
        """
        if self.whole:
            return _flatten(self.model(images, mode='tensor'))
        return _flatten(self.model(images))

    def names(self, outputs: tuple[Tensor, ...]) -> list[str]:
        """Name the outputs."""
        if not self.whole:
            if not hasattr(self.model, 'out_indices'):
                return [f'output{i}' for i in range(len(outputs))]
            return [f'stage{i}' for i in self.model.out_indices]
        if not hasattr(self.model, 'bbox_head'):
            return ['logits']
        levels = len(self.model.bbox_head.prior_generator.strides)
        kinds = getattr(
            self.model, 'output_kinds', ('scores', 'boxes', 'factors')
        )[: len(outputs) // levels]
        return [f'{kind}{i}' for kind in kinds for i in range(levels)]


class Boxes(nn.Module):
    """A one-stage detector up to, not including, non-maximum suppression.

    Args:
        model (nn.Module): A detector of MMDetection whose head decodes boxes
            from priors and scores classes independently, such as FCOS,
            RetinaNet and ATSS.

    Raises:
        ValueError: If the detector's head is of another kind.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        head = getattr(model, 'bbox_head', None)
        parts = ('prior_generator', 'bbox_coder', 'cls_out_channels')
        if not (
            all(hasattr(head, part) for part in parts)
            and getattr(head, 'use_sigmoid_cls', False)
        ):
            raise ValueError(
                f'a {type(model).__name__} with head {type(head).__name__} '
                'does not score each class of each prior by a sigmoid, so its '
                "boxes can't be decoded here; export it with outputs='raw'"
            )
        if hasattr(model, 'semantic_head'):
            raise ValueError(
                f'a {type(model).__name__} segments stuff too, which has no '
                "boxes; export it with outputs='raw'"
            )
        self.model = model
        self.least = head.test_cfg.get('min_bbox_size', -1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images, shape (N, C, H, W), to boxes and scores.

        Returns:
            tuple[Tensor, Tensor]: Boxes (x1, y1, x2, y2) in pixels within the
            image, shape (N, B, 4), and scores, shape (N, classes, B), with 0
            for what the head's ``test_cfg`` drops before suppression.
        """
        return self.decode(images, self.model(images, mode='tensor'))

    def decode(
        self, images: Tensor, levels: tuple[list[Tensor], ...]
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, from the head's outputs."""
        head = self.model.bbox_head
        batch = images.size(0)
        scores = _merge(levels[0], head.cls_out_channels).sigmoid()
        keep = scores > head.test_cfg['score_thr']
        if len(levels) == 3:
            scores = scores * _merge(levels[2], 1).sigmoid()
        if hasattr(self.model, 'roi_head'):  # as CenterMask has it
            scores = scores.sqrt()
        deltas = _merge(levels[1], head.bbox_coder.encode_size)
        priors = torch.cat(
            head.prior_generator.grid_priors(
                [m.shape[-2:] for m in levels[0]],
                dtype=deltas.dtype,
                device=deltas.device,
            )
        )
        boxes = head.bbox_coder.decode(
            priors.repeat(batch, 1), deltas.flatten(0, 1)
        )
        height, width = images.shape[-2:]
        x, y = boxes[:, 0::2], boxes[:, 1::2]
        boxes = torch.stack(
            [x.clamp(min=0, max=width), y.clamp(min=0, max=height)], dim=-1
        )
        boxes = boxes.view(batch, -1, 4)
        sides = boxes[..., 2:] - boxes[..., :2]
        keep = keep & (sides > self.least).all(dim=-1, keepdim=True)
        return boxes, (scores * keep).transpose(1, 2)

    def names(self, outputs: tuple[Tensor, ...]) -> list[str]:
        """Name the outputs."""
        return ['all_boxes', 'all_scores']


class BoxesAndMaps(Boxes):
    """CenterMask up to suppression, and the maps that its masks need."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """As :class:`Boxes`; then maps of shape (N, C, H_i, W_i)."""
        x = self.model.extract_feat(images)
        maps = x[: self.model.roi_head.mask_roi_extractor.num_inputs]
        return *self.decode(images, self.model.bbox_head(x)), *maps

    def names(self, outputs: tuple[Tensor, ...]) -> list[str]:
        """Name the outputs."""
        maps = [f'map{i}' for i in range(len(outputs) - 2)]
        return [*super().names(outputs), *maps]


def _merge(maps: list[Tensor], channels: int) -> Tensor:
    """Bring maps of (N, A * channels, H_i, W_i) to (N, B, channels)."""
    return torch.cat(
        [m.permute(0, 2, 3, 1).reshape(m.size(0), -1, channels) for m in maps],
        dim=1,
    )


def _flatten(outputs: Any) -> tuple[Tensor, ...]:
    if isinstance(outputs, Tensor):
        return (outputs,)
    return tuple(t for part in outputs for t in _flatten(part))
