"""Warnings of dependencies that their users can do nothing about."""

import warnings
from typing import Any

# Each is OpenMMLab's call of what another library has since deprecated, or a
# note on a colour map that this package does not use.
KNOWN = (
    'pkg_resources is deprecated',
    'palette does not exist, random is used',
    'torch.meshgrid: in an upcoming release',
    'checkpoint is None, use COCO classes',
)


def ignore_known_warnings() -> None:
    """Keep the known ones, and no others, out of a tool's output.

    Not by a filter: packages that are imported later put one before it.
    """
    show = warnings.showwarning

    def show_others(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        if not str(message).startswith(KNOWN):
            show(message, *args, **kwargs)

    warnings.showwarning = show_others
