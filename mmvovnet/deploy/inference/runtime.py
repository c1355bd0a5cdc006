"""Exported files, run without OpenMMLab, and ONNX without PyTorch."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import SUFFIXES


class Exported:
    """A model read from a file that :func:`mmvovnet.deploy.export` wrote.

    Args:
        metadata (dict): What the file says about its model.
        run (Callable): From images to outputs, arrays or tensors.
    """

    def __init__(self, metadata: dict[str, Any], run: Callable) -> None:
        self.metadata = metadata
        self._run = run

    def __call__(self, images: Any) -> dict[str, Any]:
        """Run normalised images, float32 of shape (N, C, H, W).

        Args:
            images (np.ndarray | Tensor): The images.

        Returns:
            dict[str, np.ndarray | Tensor]: The outputs by name, as arrays or
            tensors as the images are.
        """
        convert: Callable = np.asarray
        if not isinstance(images, np.ndarray):
            from torch import as_tensor as convert
        outputs = map(convert, self._run(images))
        return dict(zip(self.metadata['outputs'], outputs, strict=True))


def load_exported(path: str | os.PathLike, bfloat16: bool = False) -> Exported:
    """Read an exported model; its suffix says of which format it is.

    Args:
        path (str | PathLike): The file.
        bfloat16 (bool): Whether OpenVINO may compute in bfloat16, which it
            does where the CPU can. Defaults to False.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the suffix is unknown, the file is damaged or has no
            metadata, or bfloat16 is asked of another runtime.
        ImportError: If the package that runs this format is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    if path.suffix not in SUFFIXES.values():
        raise ValueError(
            f"'{path}' is no exported model: its suffix must be one of "
            f'{", ".join(SUFFIXES.values())}'
        )
    if bfloat16 and path.suffix != SUFFIXES['openvino']:
        raise ValueError(
            f"bfloat16 is for OpenVINO's files ('.xml'), not '{path}'"
        )
    try:
        if path.suffix == SUFFIXES['onnx']:
            text, run = _read_onnx(path)
        elif path.suffix == SUFFIXES['openvino']:
            text, run = _read_openvino(path, 'bf16' if bfloat16 else 'f32')
        else:
            text, run = _read_torch(path)
        metadata = json.loads(text or '{}')
        if 'outputs' not in metadata:
            raise ValueError(
                'it has no metadata; make it with tools/export.py'
            )
    except ImportError as error:
        raise ImportError(
            f"'{path}' needs {error.name}: pip install {error.name}"
        ) from error
    except Exception as error:  # a damaged file can raise anything
        said = str(error).partition('\n')[0][:300] or type(error).__name__
        raise ValueError(
            f"'{path}' can't be read as an exported model: {said}"
        ) from error
    return Exported(metadata, run)


def _threads() -> int:
    """As many as PyTorch uses in this process, or would use."""
    if 'torch' in sys.modules:
        return sys.modules['torch'].get_num_threads()
    asked = os.environ.get('OMP_NUM_THREADS', '').partition(',')[0]
    return int(asked) if asked.isdigit() else len(os.sched_getaffinity(0))


def _read_onnx(path: Path) -> tuple[str, Callable]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    session = onnxruntime.InferenceSession(
        path, options, providers=['CPUExecutionProvider']
    )
    props = session.get_modelmeta().custom_metadata_map
    return (
        props.get('mmvovnet', ''),
        lambda images: session.run(None, {'images': np.asarray(images)}),
    )


def _read_torch(path: Path) -> tuple[str, Callable]:
    import torch

    extra = {'metadata.json': ''}
    if path.suffix == SUFFIXES['torch-export']:
        module = torch.export.load(path, extra_files=extra).module()
    else:
        module = torch.jit.load(str(path), 'cpu', _extra_files=extra)

    @torch.no_grad()
    def run(images: Any) -> Any:
        return module(torch.as_tensor(images).contiguous())

    return extra['metadata.json'], run


def _read_openvino(path: Path, precision: str) -> tuple[str, Callable]:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    text = ''
    if model.has_rt_info(['mmvovnet']):
        text = model.get_rt_info(['mmvovnet']).astype(str)
    # bfloat16 is its default where the CPU has it.
    config = {
        'INFERENCE_PRECISION_HINT': precision,
        'INFERENCE_NUM_THREADS': _threads(),
    }
    compiled = core.compile_model(model, 'CPU', config)
    return text, lambda images: compiled(
        np.ascontiguousarray(images)
    ).to_tuple()
