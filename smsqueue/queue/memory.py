"""How much memory this process holds."""

import resource
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE = resource.getpagesize()
MIB = 1024 * 1024


def resident_mib() -> float:
    """Return the resident size in MiB; where the system does not tell, the largest it ever was."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * _PAGE / MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024
