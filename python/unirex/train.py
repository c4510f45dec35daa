"""`accelerate launch -m unirex.train --config X.yaml`: trains a model that explains itself, and judges it."""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from unirex.config.command_line import config_first, fail


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code (`unirex.training.run`).

    A configuration that is not there is refused before torch is imported, which takes seconds.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        config_first(given)
        from unirex.training.run import main as train
    except (ValueError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        return 130
    return train(given, __doc__ or "")


class _Callable(ModuleType):
    """The module `unirex.train`, which is the command, and called as the function `unirex.api.train`."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """The model that a run trains: see `help(unirex.api.train)`."""
        return import_module("unirex.api").train(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())
