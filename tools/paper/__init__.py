"""Evidence about the papers, and nothing that a user's model needs.

Everything here exists to check the claims of the VoVNet papers: the networks
that they compare with, trainings, measurements of energy, the papers' figures.
``tools/paper.py`` runs it, and nothing else of the package imports it: the
registry finds its networks when a config asks for one.

A claim is a module of this package with a function ``check`` that
returns a :class:`~paper.report.Result`; one that trains takes the
``out_dir`` for it, and all else that it takes has defaults. It is imported
when it is run, not before.
"""

import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import Result

__all__ = ['CLAIMS', 'check']

# By the name of the module: what is claimed.
CLAIMS = {
    'memory_access': 'an OSA layer reads and writes least for its work',
    'efficiency': 'VoVNet does more multiply-adds a second than its peers',
    'equal_work': 'for as many multiply-adds one network is the faster',
    'bottleneck': '1x1 convs take work away and add time',
    'energy': 'VoVNet uses less energy per image than its peers',
    'cifar': 'fewer, wider layers do as well as DenseNet-40 for less access',
    'weights': 'what layers read from the layers before them',
    'residual': 'the residual and eSE of V2 help deep networks',
    'centermask': 'spatial attention, level rule and mask scoring help masks',
}


def check(name: str, out_dir: Path, **options: Any) -> 'Result':
    """Check a claim.

    Args:
        name (str): A key of :data:`CLAIMS`.
        out_dir (Path): Folder for what the check makes on its way.
        **options: Options of the claim's own function.

    Returns:
        Result: What was found.

    Raises:
        ValueError: If the claim or an option is unknown.
    """
    if name not in CLAIMS:
        raise ValueError(
            f'unknown claim {name!r}; choose one of {", ".join(CLAIMS)}'
        )
    function = import_module(f'.{name}', __name__).check
    parameters = inspect.signature(function).parameters
    known = [parameter for parameter in parameters if parameter != 'out_dir']
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(
            f'the claim {name!r} has no options {unknown}; it has {known}'
        )
    if 'out_dir' in parameters:
        options['out_dir'] = out_dir
    return function(**options)
