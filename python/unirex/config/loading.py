"""Imports torch and what stands on it, for a command."""

import atexit
import gc
import sys
from importlib import import_module


def load(*modules: str) -> None:
    """Imports modules for good: in a process that has no torch yet, garbage is not looked for meanwhile or among them.

    Modules are no garbage, but there are so many objects in them that to look for it all the same takes a sixth of the
    time of their import, and each look after it as long as a step. What else is there by now is kept, too; so this is
    for commands, not for a process of the user's own.

    >>> load("json", "unirex.schema")
    """
    first = "torch" not in sys.modules and gc.isenabled()
    if first:
        gc.disable()
    try:
        for name in modules:
            import_module(name)
    finally:
        if first:
            gc.enable()
            gc.freeze()
            atexit.register(gc.unfreeze)  # else libraries that count what is left of them complain
