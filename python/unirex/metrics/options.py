"""Options of the subcommands: read by jsonargparse, with near names for unknown ones and errors in one line."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from unirex.metrics.names import near


def parse(program: str, about: str, arguments: Callable[[ArgumentParser], None], argv: Sequence[str]) -> dict[str, Any]:
    """The options by name.

    Args:
        program: what help calls the command.
        about: one line for help.
        arguments: adds the command's arguments to a parser.
        argv: the words after the command.

    Raises:
        ValueError: an unknown option, or a value of the wrong kind.
    """
    parser = ArgumentParser(prog=program, description=about, exit_on_error=False)
    arguments(parser)
    try:
        return dict(parser.parse_args(list(argv)).as_dict())
    except ArgumentError as error:
        raise ValueError(_one_line(str(error), parser)) from error


def _one_line(message: str, parser: ArgumentParser) -> str:
    """The parser's message without its layout, with a hint for an unknown option."""
    unknown = re.search(r"(--[\w.-]+)", message) if "nrecognized" in message else None
    known = [option for action in parser._actions for option in action.option_strings]
    return " ".join(message.split()) + (near(unknown[1], known) if unknown else "")
