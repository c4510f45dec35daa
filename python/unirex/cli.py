"""The command `unirex`: one door to every command of the package. It finds the module of a subcommand and runs it.

Only that module is imported, so that help comes at once.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from unirex.config.loading import leave
from unirex.extras import missing
from unirex.interrupts import heard
from unirex.text import line, ready_streams, say, suggest

PROGRAM = "unirex"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand.

    Attributes:
        module: its `main` takes arguments and returns the exit code.
        about: one line for help.
        first: arguments that stand before those given.
        launched: whether it takes the options of `accelerate launch` (`unirex.config.processes`).
    """

    module: str
    about: str
    first: tuple[str, ...] = ()
    launched: bool = False


def _scoring(name: str, about: str) -> Command:
    return Command(module="unirex.metrics.commands.cli", first=(name,), about=about)


GROUPS: dict[str, dict[str, Command]] = {
    "start here": {
        "train": Command(
            module="unirex.train", launched=True, about="train a model that explains itself, and judge it"
        ),
        "explain": Command(
            module="unirex.explain", launched=True, about="ask a model why, for every row of a file, or of many"
        ),
        "report": Command(module="unirex.report.cli", about="one page about runs: metrics, curves, marked words"),
        "ls": Command(module="unirex.config.inventory", about="what there is: recipes, methods or metrics"),
    },
    "score and compare": {
        "evaluate": Command(
            module="unirex.evaluate", launched=True, about="judge a saved model, or explanations made elsewhere"
        ),
        "score": _scoring("score", "metrics of prediction files"),
        "compare": _scoring("compare", "whether systems differ by more than chance"),
        "nrg": _scoring("nrg", "many methods on many data sets as normalized relative gain"),
        "validate": _scoring("validate", "all that is wrong with predictions, without scoring"),
    },
    "more": {
        "suite": Command(module="unirex.suite", about="methods x data sets x seeds from one file, and their table"),
        "roar": Command(module="unirex.roar", about="which words remove-and-retrain (ROAR) hides next"),
        "env": Command(module="unirex.config.environment", about="versions and devices, for a bug report"),
    },
}

COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def program(*first: str) -> NoReturn:
    """Runs the arguments of this process, behind those given, and ends it."""
    leave(main([*first, *sys.argv[1:]]))


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: that of the subcommand; 2 where there is none of this name, or its extra is not installed."""
    given = list(sys.argv[1:] if argv is None else argv)
    ready_streams()
    try:
        with heard():
            return _run(given)
    except ModuleNotFoundError as error:
        ours = missing(error)
        if ours is None:
            raise
        return _fail(str(ours))
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        say(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name == "--version":
        from unirex import __version__

        say(__version__)
        return 0
    if name not in COMMANDS:
        return _fail(f"no command {name!r}{suggest(name, COMMANDS)}, expected one of {', '.join(COMMANDS)}")
    command = COMMANDS[name]
    if command.launched:
        from unirex.config.processes import launch

        try:
            rest = launch(command.module, rest)
        except ValueError as error:
            return _fail(str(error))
    return int(importlib.import_module(command.module).main([*command.first, *rest]) or 0)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        f"usage: {PROGRAM} COMMAND ...",
        "",
        "Text classifiers that say why: train them, ask them, score explanations.",
    ]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name.ljust(width)}  {command.about}" for name, command in commands.items())]
    return "\n".join(
        [
            *lines,
            "",
            f"A first run, a minute on a CPU:  {PROGRAM} train --config quickstart",
            f"Options of a command:            {PROGRAM} COMMAND --help",
        ]
    )


def _fail(message: str) -> int:
    if os.environ.get("RANK", "0") == "0":
        say(f"{PROGRAM}: error: {line(message)}", error=True)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
