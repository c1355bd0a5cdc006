"""The CPU kernels, compiled once into a folder of its user alone."""

import logging
import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmvovnet.fileio import write

# The instruction sets that the kernels are worth compiling for.
LEVELS = {'avx2': 'v3', 'avx512': 'v4'}


@cache
def load_kernels() -> bool:
    """Load the kernels; compile them first if the cache does not have them.

    Returns:
        bool: Whether they can be used. If not, a warning says why.
    """
    try:
        torch.ops.load_library(compile_kernels())
    except (OSError, subprocess.CalledProcessError) as error:
        print_log(
            'accelerate: the kernels can not be used, so the model is just '
            f'folded: {getattr(error, "stderr", None) or error}',
            logger='current',
            level=logging.WARNING,
        )
        return False
    torch.library.register_fake('mmvovnet::winograd', _fake)
    torch.library.register_fake('mmvovnet::aggregate', _fake)
    return True


def _fake(given: Any, weight: Tensor, bias: Tensor, activate: bool) -> Tensor:
    x = given if isinstance(given, Tensor) else given[0]
    shape = (x.shape[0], bias.shape[0], *x.shape[2:])
    return x.new_empty(shape).to(memory_format=torch.channels_last)


def compile_kernels() -> Path:
    """Compile the kernels, unless the cache has them.

    ``torch.utils.cpp_extension.load`` needs ninja, and writes the library in
    place: a torn one ends the process.

    Returns:
        Path: The library in ``~/.cache/mmvovnet``. Its name holds a digest of
        the source, the command and PyTorch's version.

    Raises:
        OSError: If there is no compiler, the CPU lacks the instructions, or
            others may write to the folder.
        subprocess.CalledProcessError: If it does not compile.
    """
    capability = torch.backends.cpu.get_cpu_capability().lower()
    if capability not in LEVELS:
        raise OSError(
            'they need a CPU with AVX2 or AVX-512, and PyTorch finds '
            f"'{capability}'"
        )
    home = Path(torch.__file__).parent
    source = Path(__file__).with_name('kernels.cpp')
    command = [
        *os.environ.get('CXX', 'g++').split(),
        *('-std=c++20', '-O3', '-fopenmp', '-shared', '-fPIC'),
        f'-march=x86-64-{LEVELS[capability]}',
        f'-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}',
        f'-I{home / "include"}',
        f'-L{home / "lib"}',
        f'-Wl,-rpath,{home / "lib"}',
        str(source),
        *('-ltorch', '-ltorch_cpu', '-lc10'),
    ]
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(
            f'there is no compiler {command[0]!r}: apt-get install g++, or '
            'name another in CXX'
        )
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    folder = Path(base, 'mmvovnet')
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"other users may write to '{folder}', which holds compiled code: "
            'remove it, or set XDG_CACHE_HOME to a folder of your own'
        )
    parts = [torch.__version__, source.read_text(), *command]
    name = sha256('\0'.join(parts).encode()).hexdigest()[:32]
    library = folder / f'kernels-{name}.so'
    if not library.exists():
        with TemporaryDirectory(dir=folder) as build:
            made = Path(build, library.name)
            subprocess.run(
                [*command, '-o', str(made)],
                check=True,
                capture_output=True,
                text=True,
            )
            write(library, made.read_bytes())
    return library
