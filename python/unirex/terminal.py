"""Text from data made safe to print: what a terminal would obey is shown instead."""

import os
import re
import sys

# Control characters but tab and line end (ESC begins commands, and 0x9b alone does), what ends lines unseen, what
# turns the direction of text, and halves of characters that no encoding can write.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    r"""The text with every character that would steer a terminal written as `\uXXXX`, which JSON reads back.

    >>> print(plain("id \x1b[2J of row 3"))
    id \u001b[2J of row 3
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def line(message: object) -> str:
    r"""A message of one line, whatever it quotes.

    >>> print(line(ValueError("a\n  b \x1b[31m")))
    a b \u001b[31m
    """
    return plain(" ".join(str(message).split()))


def say(text: str, *, error: bool = False) -> None:
    """Prints a text made safe, on standard output or error.

    Where nobody reads that any more (`| head -1`), work goes on without it.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        print(plain(text), file=stream, flush=True)
    except BrokenPipeError:
        # Also for what the interpreter would write when it ends.
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
