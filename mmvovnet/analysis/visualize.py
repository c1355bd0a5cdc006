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
        image (ndarray): The image as the model gets it, RGB from 0 to 1,
            shape (H, W, 3).
        label (str): Name of the class that is explained.
        score (float): Its score.
        box (list[float]): x1, y1, x2, y2 in pixels; empty for a classifier.
        activations (list[ndarray]): Per stage, the mean over channels of the
            absolute feature map, shape (H / stride, W / stride).
        fields (list[ndarray]): Per stage, the effective receptive field of
            the position in the middle, shape (H, W), of sum 1.
        cam (ndarray): Grad-CAM, from 0 to 1, shape (H, W).
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

    Grad-CAM (arXiv 1610.02391) explains the class that a classifier answers,
    or, element by element, the place that scores highest for the class that a
    detector is surest of; it averages the stages that the backbone returns.
    The effective receptive field (arXiv 1701.04128) is the gradient by the
    image of a position in the middle of a stage's output.

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
    require(Config.fromfile(config), ('mmdet', 'mmpretrain'), 'the picture')
    model: Any = build_model(config, checkpoint)
    if not hasattr(model.backbone, 'stages'):
        raise ValueError(
            f'{type(model.backbone).__name__} has no `stages` to look into, '
            "which this package's backbones have"
        )
    pixels, batch = _prepare(image, model)
    x = batch['inputs']
    with torch.no_grad():
        label, score, box, whole, target = _answer(
            model, x, batch['data_samples']
        )

    stages = model.backbone.stages
    layers = [stages[i] for i in getattr(model.backbone, 'out_indices', [-1])]
    # A box depends on places, and Grad-CAM averages the gradient over them.
    method = GradCAMElementWise if box else GradCAM
    with method(whole, layers) as grad_cam:
        cam = grad_cam(x, [target])[0]
    outputs: list[Tensor] = []
    handles = [
        stage.register_forward_hook(lambda *args: outputs.append(args[-1]))
        for stage in stages
    ]
    model.backbone(x.requires_grad_())
    for handle in handles:
        handle.remove()
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
    """A two-stage detector that returns the scores of one image's boxes."""

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
    """What a model is surest of, and what Grad-CAM is to explain.

    Returns:
        Label, score, box of a detector, and a module and a function of its
        first output, both with a gradient.
    """
    if hasattr(model, 'head'):
        scores = model.head(model.extract_feat(x))[0].softmax(0)
        label = int(scores.argmax())
        return label, float(scores[label]), [], model, lambda out: out[label]
    (sample,) = model.predict(x, samples, rescale=False)
    found = sample.pred_instances
    if not len(found):
        raise ValueError(
            'the detector finds nothing in this image, so that there is '
            'nothing to explain; take another image or checkpoint'
        )
    best = found[int(found.scores.argmax())]
    label, box = int(best.labels), best.bboxes[0].tolist()
    answer = label, float(best.scores), box
    if hasattr(model, 'roi_head'):
        return *answer, _Detections(model, samples), torch.max
    # A one-stage detector of mmdet detaches its detections from the gradient.
    classes = model.bbox_head.cls_out_channels
    return (
        *answer,
        model,
        lambda maps: max(m[:, label::classes].max() for m in maps),
    )


def _prepare(
    path: str | Path, model: Any
) -> tuple[np.ndarray, dict[str, Any]]:
    """Take an image through the test pipeline.

    Returns:
        The image before normalisation, RGB from 0 to 1, shape (H, W, 3), and
        the model's batch.
    """
    pipeline = pipeline_of(model.cfg)
    grey = getattr(model.backbone, 'in_channels', 3) == 1
    # A data set that brings its images, such as CIFAR-10, has them in RGB.
    reads = any(step['type'] == 'LoadImageFromFile' for step in pipeline)
    order = 'bgr' if reads else 'rgb'
    image = mmcv.imread(path, 'grayscale' if grey else 'color', order)
    if image is None:
        raise ValueError(f"'{path}' is not an image that OpenCV can read")
    if grey:
        image = image[..., None]
    shape = image.shape[:2]
    data = dict(
        img=image, img_path=path, img_id=0, ori_shape=shape, img_shape=shape
    )
    with DefaultScope.overwrite_default_scope(model.cfg.default_scope):
        steps = [t for t in pipeline if not t['type'].startswith('Load')]
        data = Compose(steps)(data)
    pixels = data['inputs'].permute(1, 2, 0).numpy() / 255
    if grey:
        pixels = pixels.repeat(3, axis=2)
    elif reads:
        pixels = pixels[..., ::-1]
    batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    return pixels, model.data_preprocessor(batch, False)


def _field(output: Tensor, x: Tensor) -> np.ndarray:
    height, width = output.shape[2:]
    middle = output[..., height // 2, width // 2].sum()
    (gradient,) = torch.autograd.grad(middle, x, retain_graph=True)
    field = gradient[0].abs().sum(0)
    return (field / field.sum()).numpy()


def field_size(field: np.ndarray, share: float = 0.95) -> int:
    """Side of the square around a field's centre that holds a share of it.

    Args:
        field (ndarray): Effective receptive field, shape (H, W), of sum 1.
        share (float): The share. Defaults to 0.95.

    Returns:
        int: Pixels.

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
    count = len(explanation.fields)
    axes = figure.subplots(2, count + 1, squeeze=False)
    for ax in axes.flat:
        ax.axis('off')
    height, width = explanation.image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes[0, 0].imshow(explanation.image)
    axes[0, 0].set_title(f'{explanation.label}, {explanation.score:.2f}')
    axes[1, 0].imshow(explanation.image)
    axes[1, 0].imshow(explanation.cam, 'jet', alpha=0.5, vmin=0, vmax=1)
    axes[1, 0].set_title('Grad-CAM')
    if explanation.box:
        for ax in axes[:, 0]:
            draw_box(ax, explanation.box, color='lime', lw=2)
    for i in range(count):
        rows, columns = explanation.activations[i].shape
        above, below = axes[:, i + 1]
        above.imshow(explanation.activations[i], 'viridis', extent=extent)
        above.set_title(f'stages[{i}]: activation, {rows}x{columns}')
        field = explanation.fields[i]
        below.imshow(np.sqrt(field / field.max()), 'inferno')
        below.set_title(f'receptive field, 95 % in {field_size(field)} px')
