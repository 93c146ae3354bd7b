"""What a command line names in Python: ``module:name``. Floor F6."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from casty_trio.errors import SettingsError

__all__ = ["load"]


def load(name: str, what: str) -> Any:
    """The thing that ``module:name`` names; modules are found in the present folder, too.

    Raises:
        SettingsError: there is none.
    """
    module, _, inner = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), inner)
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise SettingsError(f"{name}: there is no such {what}: {error}; write module:{what}") from error
