"""What a config is for: whose models it names, and on which data."""

from collections.abc import Iterator
from copy import copy
from typing import Any

from mmengine.config import Config, ConfigDict

Path = tuple[str | int, ...]
"""Keys and indices from a config's root."""

ABSENT = object()
"""What :func:`get` returns where a config has nothing."""


def library(cfg: Config) -> str | None:
    """Name the library whose models a config describes, such as ``mmdet``.

    Its ``default_scope`` says it, or else the first type in ``model`` with the
    scope of a library, such as ``mmdet.FCOS``; None if neither does.

    Example:
        >>> library(Config(dict(model=dict(type='mmdet.FCOS'))))
        'mmdet'
    """
    if cfg.get('default_scope'):
        return cfg.default_scope
    for _, node in dicts(cfg.get('model')):
        scope = str(node.get('type')).partition('.')[0]
        if scope in ('mmdet', 'mmpretrain', 'mmseg', 'mmdet3d'):
            return scope
    return None


def require(cfg: Config, libraries: tuple[str, ...], what: str) -> str:
    """Name a config's library, if it is one of those that a tool knows.

    Args:
        cfg (Config): The config.
        libraries (tuple[str]): Which the tool knows.
        what (str): What the tool does, for the message.

    Raises:
        ValueError: It is another, or not known.
    """
    found = library(cfg)
    if found is None:
        raise ValueError(
            f"'{cfg.filename}' does not say whose models it names: add "
            f'default_scope={libraries[0]!r}'
        )
    if found not in libraries:
        raise ValueError(
            f'{what} is for configs of {" and ".join(libraries)}, and '
            f"'{cfg.filename}' is one of {found}"
        )
    return found


def dicts(node: Any, path: Path = ()) -> Iterator[tuple[Path, dict]]:
    """Every dict of a config, the outer ones first."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from dicts(value, (*path, key))
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from dicts(value, (*path, i))


def get(node: Any, path: Path) -> Any:
    """The part of a config at a path, :data:`ABSENT` if there is none."""
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return node


def dotted(path: Path) -> str:
    """Write a path as in Python.

    Example:
        >>> dotted(('model', 'neck', 0, 'in_channels'))
        'model.neck[0].in_channels'
    """
    text = ''.join(f'[{p}]' if type(p) is int else f'.{p}' for p in path)
    return text.removeprefix('.')


def parts(model: dict, name: str) -> list[Path]:
    """Parts of a config that may have built a module, the inner ones first.

    Example:
        >>> parts(dict(neck=dict(type='FPN')), 'neck.fpn_convs.0')
        [('neck',), ()]
    """
    found: list[Path] = [()]
    for word in name.split('.'):
        part = (*found[-1], int(word) if word.isdigit() else word)
        if isinstance(get(model, part), dict | list | tuple):
            found.append(part)
        elif not isinstance(get(model, (*found[-1], 0)), dict):
            break
    return found[::-1]


def leaves(dataset: Any) -> Iterator[ConfigDict]:
    """The data sets inside wrappers such as ``ConcatDataset``.

    Example:
        >>> inner = dict(type='CocoDataset')
        >>> list(leaves(dict(type='RepeatDataset', dataset=inner))) == [inner]
        True
    """
    if isinstance(dataset, list | tuple):
        for each in dataset:
            yield from leaves(each)
    elif isinstance(dataset, dict):
        inner = dataset.get('datasets') or dataset.get('dataset')
        yield from leaves(inner) if inner else [dataset]


def model_of(cfg: Config) -> Any:
    """A config's model, with the preprocessor that may stand outside it.

    The Runner gives that to the model. The config stays as it is.

    Example:
        >>> cfg = Config(dict(model={}, data_preprocessor=dict(mean=[0])))
        >>> model_of(cfg)
        {'data_preprocessor': {'mean': [0]}}
    """
    model = copy(cfg.get('model') or {})
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return model


def pipeline_of(cfg: Config) -> list[ConfigDict]:
    """The steps that bring a test image to the model.

    Raises:
        ValueError: If the config has none.
    """
    loader = cfg.get('test_dataloader') or {}
    for dataset in leaves(loader.get('dataset')):
        if 'pipeline' in dataset:
            return dataset.pipeline
    raise ValueError(
        f"'{cfg.filename}' has no test_dataloader.dataset.pipeline, which "
        'says what happens to an image before the model'
    )


def class_names(cfg: Config) -> list[str]:
    """The classes of a config's test set, in the order of the labels.

    There are none if neither the config nor the data set's type says them.
    """
    from mmengine.fileio import list_from_file
    from mmengine.registry import DATASETS

    loader = cfg.get('test_dataloader') or {}
    dataset: Any = next(leaves(loader.get('dataset')), {})
    names = dataset.get('metainfo', {}).get('classes', dataset.get('classes'))
    if names is None and 'type' in dataset:
        with DATASETS.switch_scope_and_registry(library(cfg)) as registry:
            kind: Any = registry.get(dataset.type)
        names = getattr(kind, 'METAINFO', {}).get('classes')
    if isinstance(names, str):  # a file, as mmengine takes it
        names = list_from_file(names)
    return list(names or [])
