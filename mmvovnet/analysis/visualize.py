"""What a trained model finds in an image, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor

from mmvovnet.apis import build_model
from mmvovnet.tasks import pipeline_of, require


@dataclass
class Explanation:
    """What a model finds in an image, and why.

    Attributes:
        image: What the model gets, RGB from 0 to 1, shape (H, W, 3).
        label: Name of the class that is explained.
        score: Its score.
        box: x1, y1, x2, y2 in pixels; empty for a classifier.
        activations: Per stage, the mean over channels of the absolute feature
            map, shape (H / stride, W / stride).
        fields: Per stage, the effective receptive field of the position in
            the middle, shape (H, W), of sum 1.
        cam: Grad-CAM, from 0 to 1, shape (H, W).
    """

    image: np.ndarray
    label: str
    score: float
    box: list[float]
    activations: list[np.ndarray]
    fields: list[np.ndarray]
    cam: np.ndarray


def explain(
    image: str | Path, config: str | Path, checkpoint: str | None = None
) -> Explanation:
    """Explain what a detector or classifier finds in an image.

    Grad-CAM (arXiv 1610.02391) explains a classifier's answer or a detector's
    surest class; it averages the stages that the backbone returns. The
    effective receptive field (arXiv 1701.04128) is the gradient of the middle
    of a stage's output.

    Args:
        image (str | Path): Image file.
        config (str | Path): A config of MMDetection or MMPretrain.
        checkpoint (str, optional): Weights. Defaults to None, random ones.

    Raises:
        ImportError: If grad-cam is missing.
        ValueError: If the config is of another library, the file is no image,
            the detector finds nothing, or the backbone has no stages.
    """
    try:
        from pytorch_grad_cam import GradCAM, GradCAMElementWise
    except ImportError as error:
        raise ImportError(
            "Grad-CAM needs a library: pip install 'mmvovnet[analysis]'"
        ) from error
    cfg = Config.fromfile(config)
    require(cfg, ('mmdet', 'mmpretrain'), 'the picture')
    model: Any = build_model(cfg, checkpoint)
    if not hasattr(model.backbone, 'stages'):
        name = type(model.backbone).__name__
        raise ValueError(f"{name} has no `stages`: use this package's VoVNet")
    pixels, batch = _prepare(image, model)
    x, samples = batch['inputs'], batch['data_samples']
    with torch.no_grad():
        label, score, box, whole, target = _answer(model, x, samples)

    stages = model.backbone.stages
    layers = [stages[i] for i in getattr(model.backbone, 'out_indices', [-1])]
    # A box depends on places, and Grad-CAM averages the gradient over them.
    method = GradCAMElementWise if box else GradCAM
    with method(whole, layers) as grad_cam:
        cam = grad_cam(x, [target])[0]
    outputs: list[Tensor] = []
    for stage in stages:
        stage.register_forward_hook(lambda *args: outputs.append(args[-1]))
    model.backbone(x.requires_grad_())
    canvas = np.zeros((*x.shape[2:], 3))
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
    return Explanation(
        canvas,
        model.dataset_meta['classes'][label],
        score,
        box,
        [out[0].abs().mean(0).detach().numpy() for out in outputs],
        [_field(out, x) for out in outputs],
        cam,
    )


class _Detections(torch.nn.Module):
    """A two-stage detector that returns the scores of its boxes."""

    def __init__(self, model: Any, samples: list) -> None:
        super().__init__()
        self.model = model
        self.samples = samples

    def forward(self, x: Tensor) -> list[Tensor]:
        (sample,) = self.model.predict(x, self.samples, rescale=False)
        return [sample.pred_instances.scores]


def _answer(
    model: Any, x: Tensor, samples: list
) -> tuple[int, float, list[float], Any, Callable]:
    """Label, score and box, and a module and what of its output to explain."""
    if hasattr(model, 'head'):
        scores = model.head(model.extract_feat(x))[0].softmax(0)
        label = int(scores.argmax())
        return label, float(scores[label]), [], model, lambda out: out[label]
    (sample,) = model.predict(x, samples, rescale=False)
    found = sample.pred_instances
    if not len(found):
        raise ValueError(
            'the detector finds nothing in this image: take another image or '
            'checkpoint'
        )
    best = found[int(found.scores.argmax())]
    label, box = int(best.labels), best.bboxes[0].tolist()
    answer = label, float(best.scores), box
    if not hasattr(model, 'bbox_head'):
        return *answer, _Detections(model, samples), torch.max
    # A one-stage detector of mmdet detaches its detections from the gradient.
    classes = model.bbox_head.cls_out_channels
    return (
        *answer,
        model,
        lambda maps: max(m[:, label::classes].max() for m in maps),
    )


def _prepare(path: str | Path, model: Any) -> tuple[np.ndarray, dict]:
    """The image before it is normalised, RGB from 0 to 1, and the batch."""
    pipeline = pipeline_of(model.cfg)
    grey = getattr(model.backbone, 'in_channels', 3) == 1
    # A data set that brings its images, such as CIFAR-10, has them in RGB.
    reads = any(step['type'] == 'LoadImageFromFile' for step in pipeline)
    order = 'bgr' if reads else 'rgb'
    image = mmcv.imread(path, 'grayscale' if grey else 'color', order)
    if image is None:
        raise ValueError(f"'{path}' is not an image that OpenCV can read")
    shapes = dict(ori_shape=image.shape[:2], img_shape=image.shape[:2])
    image = image.reshape(*image.shape[:2], -1)
    data = dict(img=image, img_path=path, img_id=0, **shapes)
    steps = [t for t in pipeline if not t['type'].startswith('Load')]
    with DefaultScope.overwrite_default_scope(model.cfg.default_scope):
        data = Compose(steps)(data)
    pixels = data['inputs'].permute(1, 2, 0).numpy() / 255
    pixels = pixels[..., ::-1] if reads else pixels
    batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    return pixels, model.data_preprocessor(batch, False)


def _field(output: Tensor, x: Tensor) -> np.ndarray:
    height, width = output.shape[2:]
    middle = output[..., height // 2, width // 2].sum()
    (gradient,) = torch.autograd.grad(middle, x, retain_graph=True)
    field = gradient[0].abs().sum(0)
    return (field / field.sum()).numpy()


def field_size(field: np.ndarray, share: float = 0.95) -> int:
    """Side of the square around the centre that holds a share of a field.

    Args:
        field (ndarray): Effective receptive field, shape (H, W), of sum 1.
        share (float): The share.

    Example:
        >>> field = np.zeros((20, 20))
        >>> field[3:6, 3:6] = 1 / 9
        >>> field_size(field)
        3
    """
    y, x = (np.arange(n) for n in field.shape)
    y = np.abs(y - round(field.sum(1) @ y))
    x = np.abs(x - round(field.sum(0) @ x))
    distance = np.maximum(y[:, None], x)
    sums = np.bincount(distance.ravel(), field.ravel()).cumsum()
    return min(2 * int(np.argmax(sums >= share)) + 1, max(field.shape))


def draw_box(ax: Axes, box: Sequence[float], **style: Any) -> None:
    """Draw x1, y1, x2, y2 in pixels; ``style`` is that of a ``Rectangle``."""
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))


def draw(figure: Figure, explanation: Explanation) -> None:
    """Draw an image, Grad-CAM, and per stage activation and field."""
    axes = figure.subplots(2, len(explanation.fields) + 1)
    for ax in axes.flat:
        ax.axis('off')
    height, width = explanation.image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for ax in axes[:, 0]:
        ax.imshow(explanation.image)
        if explanation.box:
            draw_box(ax, explanation.box, color='lime', lw=2)
    axes[0, 0].set_title(f'{explanation.label}, {explanation.score:.2f}')
    axes[1, 0].imshow(explanation.cam, 'jet', alpha=0.5, vmin=0, vmax=1)
    axes[1, 0].set_title('Grad-CAM')
    pairs = zip(explanation.activations, explanation.fields, strict=True)
    for i, (activation, field) in enumerate(pairs):
        above, below = axes[:, i + 1]
        above.imshow(activation, 'viridis', extent=extent)
        rows, columns = activation.shape
        above.set_title(f'stages[{i}]: activation, {rows}x{columns}')
        below.imshow(np.sqrt(field / field.max()), 'inferno')
        below.set_title(f'receptive field, 95 % in {field_size(field)} px')
