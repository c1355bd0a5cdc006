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
    mmcv has it, and the log says which one was left out and how many were.
    """

    ignore_empty: bool
    skipped = 0

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
                    f'{reason}. tools/check_data.py finds all of them; '
                    "ignore_empty=True in the pipeline's LoadImageFromFile "
                    'leaves them out.'
                ) from error
        finally:
            self.ignore_empty = skip
        self.skipped += 1
        print_log(
            f'{reason}; left out, {self.skipped} in this process',
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
