"""Backends of one document's operations behind one interface.

    import impls
    backend = impls.get("numba")            # or "my_package.my_module", or "path/to/file.py"
    output = backend.conv2d(input, weight, padding=1)

A backend is a module of kernels (impls/spec/interface.py); `get` puts the gate before it: PyTorch's
names, defaults and parameter forms, validated once. impls/loop.py is the file to read first.
"""

from impls.backend import Backend, KernelError
from impls.registry import get, names

__all__ = ["Backend", "KernelError", "get", "names"]
