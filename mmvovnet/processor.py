"""What this machine's processor is and can do."""

import platform
import re
from pathlib import Path

_INFO = Path('/proc/cpuinfo')


def processor() -> tuple[str, set[str]]:
    """The processor's name and its flags, from Linux."""
    name, flags = platform.processor() or platform.machine(), ''
    if _INFO.exists():
        text = _INFO.read_text()
        name = ''.join(re.findall(r'model name\s*: (.*)', text)[:1]) or name
        flags = ''.join(re.findall(r'(?:flags|Features)\s*: (.*)', text)[:1])
    return name, set(flags.split())


def has_bfloat16() -> bool:
    """Whether it multiplies in bfloat16; without, that is emulated, slowly."""
    return bool({'avx512_bf16', 'amx_bf16', 'bf16'} & processor()[1])
