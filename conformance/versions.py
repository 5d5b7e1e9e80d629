"""What a run depends on besides the sources: versions of packages, threads of their pools."""

import platform
import sys
from importlib import metadata

from threadpoolctl import threadpool_info

PACKAGES = ("numpy", "numba", "torch", "pytest")


def packages() -> dict[str, str]:
    """Python's version and those of the packages that judge."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def version(package: str) -> str:
    """Version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def threads() -> dict[str, int]:
    """How many threads each pool of this process may use, by its library."""
    found = {pool["prefix"]: pool["num_threads"] for pool in threadpool_info()}
    if numba := sys.modules.get("numba"):
        # Its setting: asking Numba for its count resets PyTorch's (numba issue 9387).
        found["numba"] = numba.config.NUMBA_NUM_THREADS
    return dict(sorted(found.items()))
