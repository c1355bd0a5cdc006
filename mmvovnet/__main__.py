"""``python -m mmvovnet`` is the command ``mmvovnet``."""

from .cli import main

main()
