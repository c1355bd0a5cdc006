"""Errors that name an unreadable image."""

import logging
from pathlib import Path

import mmcv.transforms
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS


@ROOT_TRANSFORMS.register_module(force=True)
class LoadImageFromFile(mmcv.transforms.LoadImageFromFile):
    """mmcv's transform, which says which image it was that failed.

    With ``ignore_empty=True`` another image takes its place, and the log names
    what was left out.
    """

    ignore_empty: bool

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.skips, self.ignore_empty = self.ignore_empty, False

    def transform(self, results: dict) -> dict | None:
        """Load the image of ``results['img_path']``; None if it is left out.

        Raises:
            RuntimeError: It cannot be read.
        """
        path = str(results['img_path'])
        try:
            if Path(path).exists() and not Path(path).is_file():
                # Reading a pipe would block.
                raise RuntimeError('it is a folder, a pipe or a device')
            return super().transform(results)
        except Exception as error:  # OpenCV's and Pillow's own, among others
            said = str(error).strip().partition('\n')[0]
            reason = f"the image '{path}' cannot be read: {said}"
            if not self.skips:
                raise RuntimeError(
                    f'{reason}. tools/check_data.py decodes all images and '
                    'names such ones; ignore_empty=True in LoadImageFromFile '
                    'of the train pipeline leaves them out.'
                ) from error
        print_log(f'{reason}; left out', 'current', logging.WARNING)
        return None
