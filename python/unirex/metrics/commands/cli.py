"""The command `unirex-metrics`: finds the subcommand's module, reads its options and runs it.

Only the chosen subcommand is imported, so that help comes at once.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise

from unirex.interrupts import heard
from unirex.text import current_convention, line, ready_streams, reason

COMMANDS = {
    "score": "metrics of one system, or of several side by side",
    "compare": "whether one system differs from others by more than chance",
    "validate": "all that is wrong with predictions or ERASER files, without scoring",
    "nrg": "many methods on many data sets as normalized relative gain",
}
"""Subcommand -> one line about it; its module in this folder has `arguments(parser)` and `run(...)`."""

PROGRAM = "unirex-metrics"


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 2 with one line on stderr if the input or an option is wrong, or nothing can be written."""
    return guarded(PROGRAM, lambda: _run(list(sys.argv[1:] if argv is None else argv)))


def guarded(program: str, run: Callable[[], int]) -> int:
    """The exit code of what a command runs, whose errors become one line on stderr and 2.

    141 where nobody reads the output any more, in silence as of any command in a pipe; 130 on Ctrl-C.
    """
    ready_streams()
    try:
        try:
            with heard():
                code = run()
        except SystemExit as done:  # the help was shown
            code = int(done.code or 0)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader is gone
        _discard_output()
        return 141
    except (ValueError, OSError) as error:
        _discard_output()
        return _fail(program, reason(error))
    except KeyboardInterrupt:
        return 130
    return code


def _discard_output() -> None:
    """Lets the interpreter end without another error about output without a reader."""
    try:
        sys.stdout.flush()
    except (ValueError, OSError):
        with suppress(ValueError, OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_usage())  # noqa: T201
        return 0 if arguments else 2
    name, *rest = arguments
    if name == "--version":
        from unirex import __version__

        print(__version__)  # noqa: T201
        return 0
    if name not in COMMANDS:
        from unirex.text import suggest

        return _fail(PROGRAM, f"no command {name!r}, expected one of {', '.join(COMMANDS)}{suggest(name, COMMANDS)}")
    rest = current_convention(rest)
    of_eraser = any(word.partition("=")[0] in {"--data-dir", "--data_dir"} for word in rest)
    if name == "score" and (of_eraser or "--convention=eraser" in rest or ("--convention", "eraser") in pairwise(rest)):
        from unirex.metrics.commands import eraser as eraser_command

        return eraser_command.run(rest)
    from unirex.metrics.commands.options import parse

    module = importlib.import_module(f"unirex.metrics.commands.{name}")
    options = parse(f"{PROGRAM} {name}", COMMANDS[name], module.arguments, rest)
    return int(module.run(options) or 0)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name.ljust(width)}  {about}" for name, about in COMMANDS.items())
    return (
        f"usage: {PROGRAM} COMMAND ...\n\nScores rationales and explanations from prediction files.\n\n"
        f"commands:\n{commands}\n\n{PROGRAM} COMMAND --help shows the options of a command,\n"
        f"{PROGRAM} score --data-dir D --help those for results in the format of the ERASER benchmark."
    )


def _fail(program: str, message: str) -> int:
    print(f"{program}: error: {line(message)}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
