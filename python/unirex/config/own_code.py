"""`--import FILE`: the user's own code, which runs because the command line names it, and never because a run does."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from unirex.config.repeated import take_all
from unirex.text import line

OPTION = "--import"

_FILES: dict[Path, ModuleType] = {}
"""What was imported from files, each once in a process."""


def import_own(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What `--import` names, once it is imported and its methods are known, and the other arguments.

    Raises:
        ValueError: one line: there is no such file or module, it cannot be imported, or a name in it is taken.
    """
    names, rest = take_all(OPTION, arguments, "a Python file or a module")
    for name in names:
        if not Path(name).is_file() and not _is_module(name):
            raise ValueError(f"{OPTION} {name}: no such file or module")
    for name in names:  # with torch, as soon as there is one
        from unirex.methods import add_methods

        add_methods(_imported(name))
    return names, rest


def _is_module(name: str) -> bool:
    try:
        return not name.endswith(".py") and find_spec(name) is not None
    except (ImportError, ValueError):  # of a parent, or no name of a module
        return False


def _imported(name: str) -> ModuleType:
    path = Path(name).resolve()
    if path in _FILES:
        return _FILES[path]
    try:
        return _from_file(path) if path.is_file() else importlib.import_module(name)
    except Exception as error:  # whatever own code does when it is imported
        raise ValueError(line(f"{OPTION} {name}: {_place(error)}{type(error).__name__}: {error}")) from error


def _from_file(path: Path) -> ModuleType:
    """The module of a file, which finds the files beside it, as a script does."""
    module_name = path.stem if path.stem not in sys.modules else f"{path.stem}_{len(_FILES)}"
    spec = spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError("expected a name that ends in .py")
    module = module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[module_name] = module  # where dataclasses look for the names in their types
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    _FILES[path] = module
    return module


def _place(error: Exception) -> str:
    """The line of own code that an error comes from; a SyntaxError names it itself."""
    machinery = (str(Path(__file__).parents[1]), str(importlib.__file__), "<frozen importlib")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(machinery)]
    return f"line {frames[0].lineno}: " if frames and not isinstance(error, SyntaxError) else ""
