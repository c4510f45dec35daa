"""Imports torch and what stands on it, for a command, and ends a process that has it."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import NoReturn


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


def leave(code: int) -> NoReturn:
    """Ends the process of a command as `sys.exit` does, but takes nothing apart that torch and its like have built.

    That takes almost half as long as their import. Threads are waited for, and what is registered for the end is
    called. Of several processes each ends as usual, since others may still need what it has.
    """
    if "torch" in sys.modules and os.environ.get("WORLD_SIZE", "1") == "1":
        with suppress(KeyboardInterrupt, OSError):
            threading._shutdown()  # type: ignore[attr-defined]  # these two as the interpreter itself does
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)
