"""OPS: the record of every operation, by name. A new module in this folder is a new operation."""

from importlib import import_module
from pkgutil import iter_modules

from impls.spec.op import OpSpec


def _collect() -> dict[str, OpSpec]:
    """Every module's OP, sorted by name; ValueError for a repeated name or case."""
    names = sorted(
        module.name for module in iter_modules(__path__) if not module.name.startswith("test_")
    )
    found = [import_module(f"{__name__}.{name}").OP for name in names]
    ops = {op.name: op for op in found}
    if len(ops) < len(found):
        raise ValueError(f"two modules of {__name__} define one op: {[op.name for op in found]}")
    for op in found:
        for ids in ([case.id for case in op.cases], [error.id for error in op.errors]):
            repeated = {id for id in ids if ids.count(id) > 1}
            if repeated:
                raise ValueError(f"{op.name} lists {sorted(repeated)} twice")
    return ops


OPS = _collect()
