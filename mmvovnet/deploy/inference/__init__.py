"""Detection with a model or an exported file: images, folders and films."""
