"""Files of a run folder, read back or refused in clear words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Stored = TypeVar("Stored")


class RunError(ValueError):
    """A folder or file that holds no run, or one that is broken."""


def load(path: Path, schema: int, make: Callable[..., Stored], made_by: str) -> Stored | None:
    """What `make` makes of a JSON file, None if there is none; RunError for a foreign one."""
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored.pop("schema") != schema:
            raise ValueError("its schema is another")
        return make(**stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} must be a run that `{made_by}` stored: {error}") from error
