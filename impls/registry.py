"""Which backend a name means: a built-in, a dotted module or a file. Imports one when asked."""

import sys
import zlib
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from impls.backend import Backend
from impls.spec.interface import KERNELS

BUILT_IN = {
    "im2col": "impls.im2col",
    "loop": "impls.loop",
    "numba": "impls.numba_parallel",
}


def names() -> list[str]:
    """Names of the built-in backends, sorted."""
    return sorted(BUILT_IN)


def get(spec: str) -> Backend:
    """The backend that `spec` names: a built-in, "package.module" or "path/to/file.py".

    A file is read anew at each call. Raises ValueError where nothing is found or what is found has
    no kernel; what the module itself raises while it is imported comes through.
    """
    if not isinstance(spec, str):
        raise ValueError(f"backend={spec!r} must be a name, a dotted module or a path, as a str")
    if spec in BUILT_IN:
        name, module = spec, import_module(BUILT_IN[spec])
    elif Path(spec).suffix == ".py":
        name, module = Path(spec).stem, _load_file(spec)
    else:
        name, module = spec, _import(spec)
    if not any(callable(getattr(module, kernel, None)) for kernel in KERNELS):
        raise ValueError(f"backend={spec!r} must define a kernel, one of {', '.join(KERNELS)}")
    return Backend(name, module)


def backend_of(backend: str | Backend) -> Backend:
    """The backend itself, or the one that a spec names."""
    return backend if isinstance(backend, Backend) else get(backend)


def _load_file(spec: str) -> ModuleType:
    path = Path(spec).resolve()
    if not path.is_file():
        raise ValueError(f"backend={spec!r} must be a file, but {path} is none")
    # The name holds the path, so that two files of one name are two modules.
    name = f"{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    location = spec_from_file_location(name, path)
    if location is None or location.loader is None:
        raise ValueError(f"backend={spec!r} must be a Python file")
    module = module_from_spec(location)
    sys.modules[name] = module
    try:
        # Not the loader: it trusts byte code of the same second and length.
        exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(spec: str) -> ModuleType:
    if all(part.isidentifier() for part in spec.split(".")):
        try:
            return import_module(spec)
        except ModuleNotFoundError as error:
            # What the module or its package misses is their own affair.
            if not f"{spec}.".startswith(f"{error.name}."):
                raise
    raise ValueError(
        f"backend={spec!r} must be one of {', '.join(names())}, an importable module or a"
        " path that ends in .py"
    )
