"""`unirex train --config X.yaml`: trains a model that explains itself, and judges it.

Several processes: `--num-processes 4`, or `accelerate launch -m unirex.train`; `--cpu` leaves a GPU alone.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code (`unirex.training.run`).

    Help and what is wrong with the settings come before torch is imported, which takes seconds. Everything is imported
    here, so that Ctrl-C is quiet meanwhile.
    """
    from unirex.interrupts import heard

    try:
        with heard():
            from unirex.config.command_line import fail

            try:
                from unirex.config.files import check_files
                from unirex.config.loading import load
                from unirex.config.run import parse
                from unirex.config.threads import spin_briefly

                spin_briefly()
                given = list(sys.argv[1:] if argv is None else argv)
                config = parse(given, prog="unirex.train", description=__doc__ or "")
                check_files(config)
                load("unirex.training.run")
                from unirex.training.run import main as train
            except (ValueError, OSError, ImportError) as error:
                return fail(error)
            return train(config)
    except KeyboardInterrupt:
        return 130


class _Callable(ModuleType):
    """The module `unirex.train`, which is the command, and called as the function `unirex.api.train`."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """The model that a run trains: see `help(unirex.api.train)`."""
        return import_module("unirex.api").train(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    import_module("unirex.config.loading").leave(main())
