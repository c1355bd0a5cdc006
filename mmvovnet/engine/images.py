"""Errors that name an unreadable image."""

import logging
import stat
from pathlib import Path

import mmcv.transforms
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS


class ImageError(RuntimeError):
    """An image that cannot be read."""


@ROOT_TRANSFORMS.register_module(force=True)
class LoadImageFromFile(mmcv.transforms.LoadImageFromFile):
    """mmcv's transform, which says which image it was that failed.

    With ``ignore_empty=True`` a training takes another image in its place, as
    mmcv has it, and the log says once of each which one was left out.
    """

    ignore_empty: bool

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.skipped: set[str] = set()

    def transform(self, results: dict) -> dict | None:
        """Load an image.

        Args:
            results (dict): Holds ``img_path``.

        Returns:
            dict | None: As of mmcv; None for an image that is left out.

        Raises:
            ImageError: It cannot be read.
        """
        path = str(results['img_path'])
        skip, self.ignore_empty = self.ignore_empty, False
        try:
            _refuse_what_blocks(path)
            return super().transform(results)
        except Exception as error:  # OpenCV's and Pillow's own, among others
            said = str(error).strip().partition('\n')[0]
            reason = f"the image '{path}' cannot be read: {said}"
            if not skip:
                raise ImageError(
                    f'{reason}. tools/check_data.py decodes all images and '
                    'names such ones; ignore_empty=True in LoadImageFromFile '
                    'of the train pipeline leaves them out.'
                ) from error
        finally:
            self.ignore_empty = skip
        if path not in self.skipped:
            self.skipped.add(path)
            print_log(
                f'{reason}; left out, {len(self.skipped)} in this process',
                logger='current',
                level=logging.WARNING,
            )
        return None


def _refuse_what_blocks(path: str) -> None:
    """Refuse a pipe, whose reading would block without an error."""
    if '://' not in path and Path(path).exists():
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise ImageError('it is a folder, a pipe or a device')
