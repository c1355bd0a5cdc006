"""Imports run one way, as CONTRIBUTING.md says of the rooms."""

import ast
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import mmvovnet

# A room imports rooms of the rows above its own.
ROWS = (
    {'fileio', 'processor', 'registry', 'tasks'},
    {'models'},
    {'datasets', 'weights'},
    {'apis', 'checkpoint', 'engine'},
    {'deploy'},
    {'analysis', 'data_check'},
    {'swap'},
    {'cli'},
    {'__main__'},
)
# What looks up when it is called, not when it is imported.
UP = {
    ('registry', 'models'),  # TYPE_CHECKING
    ('models', 'weights'),  # weights are loaded
    ('engine', 'data_check'),  # a training starts
}
PACKAGE = Path(mmvovnet.__file__).parent
FILES = {
    '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts): path
    for path in PACKAGE.rglob('*.py')
    if '.mim' not in path.parts
}
MODULES = {name.removesuffix('.__init__'): name for name in FILES}


def statements(node):
    """What runs on import, without functions and type checking."""
    for child in ast.iter_child_nodes(node):
        checks = isinstance(child, ast.If) and (
            'TYPE_CHECKING' in ast.unparse(child.test)
        )
        if not checks and not isinstance(child, ast.FunctionDef):
            yield child
            yield from statements(child)


def imported(name, walk):
    """The modules of the package that one of them imports."""
    package = name.rpartition('.')[0]
    for node in walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            dots = '.' * node.level + (node.module or '')
            whole = resolve_name(dots, package)
            inner = [f'{whole}.{alias.name}' for alias in node.names]
            found = [one if one in MODULES else whole for one in inner]
        else:
            continue
        yield from {MODULES[one] for one in found if one in MODULES} - {name}


def arrows(walk):
    """From room to room."""
    rooms = {
        tuple(module.split('.')[1] for module in (name, other))
        for name in FILES
        for other in imported(name, walk)
    }
    return {(a, b) for a, b in rooms if a != b and '__init__' not in (a, b)}


def test_no_circle():
    graph = {name: set(imported(name, statements)) for name in FILES}
    assert sum(map(len, graph.values())) > len(FILES)
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize('walk', [statements, ast.walk])
def test_rooms_import_rooms_below(walk):
    row = {room: i for i, rooms in enumerate(ROWS) for room in rooms}
    up = {(a, b) for a, b in arrows(walk) if row[a] <= row[b]}
    assert up == (UP if walk is ast.walk else set())
