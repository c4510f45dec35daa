"""Untrusted text: made safe to show, shortened, and compared with known names."""

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TypeVar

T = TypeVar("T")

SHOWN = 80
"""How much of a value a message shows."""

_JOINERS = "\u200c\u200d"
"""Invisible, but parts of emoji and of Persian and Indian words."""
_NOT_PLAIN = re.compile(r"[^\x20-\x7e\n\t]")
_ACTS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode that a terminal or a page would obey instead of showing: control characters (ESC and 0x9b begin
commands), characters that reverse the reading direction or are invisible, unusual line ends, and half characters."""


def plain(text: str, *, lines: bool = True, longest: int | None = None) -> str:
    r"""The text with every control or invisible character escaped as in JSON (`\u001b`).

    Markup is not escaped: templates do that.

    Args:
        text: from anywhere.
        lines: keep line ends and tabs; else they become spaces.
        longest: most characters; a longer text ends in an ellipsis.

    >>> print(plain("id \x1b[2J of row 3"), plain("a\n\u202eb", lines=False), plain("abcdef", longest=4))
    id \u001b[2J of row 3 a \u202eb abc…
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    if not lines:
        text = re.sub(r"\r\n|[\n\t\r]", " ", text)
    return _NOT_PLAIN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    from unicodedata import category

    character = found[0]
    return json.dumps(character)[1:-1] if category(character) in _ACTS and character not in _JOINERS else character


def line(message: object) -> str:
    r"""A message on one line, with everything it quotes made safe.

    >>> print(line(ValueError("a\n  b \x1b[31m")))
    a b \u001b[31m
    """
    return plain(" ".join(str(message).split()))


def brief(error: Exception) -> str:
    r"""What a library says about a fault, on one line and shortened.

    >>> brief(ValueError("no such\n  field"))
    'no such field'
    """
    return " ".join(str(error).split())[:200]


def ready_streams() -> None:
    r"""Lets standard output and error take all text: a closed one nowhere, one of an old encoding as `\u2191`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 (until the process ends)
        elif isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="backslashreplace")


QUIET = 30.0
"""Seconds between lines that say how far a thing is, where no terminal shows it, as in the log of a batch system."""


def say(text: str, *, error: bool = False) -> None:
    """Prints a text made safe, on standard output or error; a closed pipe (`| head -1`) is no error."""
    stream = sys.stderr if error else sys.stdout
    try:
        print(plain(text), file=stream, flush=True)
    except BrokenPipeError:
        # The interpreter flushes the stream when it ends, which would fail too.
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())


def reason(error: Exception) -> str:
    """What an error says; of the system's own the file and the reason, without its number.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.csv")), reason(OSError(28, "No space left"))
    ('a.csv: no such file or directory', 'no space left')
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    what = error.strerror[0].lower() + error.strerror[1:]
    return what if error.filename is None else f"{error.filename}: {what}"


def shown(value: object) -> str:
    """The `repr` of a value, shortened.

    >>> shown("a" * 1000)[-3:], shown(["a", "b"])
    ('aa…', "['a', 'b']")
    """
    text = repr(value[: SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}…"


NOW = {("method.name", "unirex"): "joint", ("convention", "unirex"): "paper"}
"""Renamed words that are still accepted: (key, old word) -> new word."""


def current(key: str, word: str) -> str:
    """The current word; for a renamed one, a note on standard error, once per process.

    >>> current("convention", "paper"), current("convention", "strict")
    ('paper', 'strict')
    """
    now = NOW.get((key, word))
    if now is None:
        return word
    _tell(f"note: {key} {word!r} is called {now!r} now")
    return now


SETTINGS_NOW = {"method.explainer": "method.attribution_settings"}
"""Settings that were renamed and are still read: old key -> new key."""


def current_setting(key: str, *, tell: bool = False) -> str:
    """The dotted key that a setting has now; if it is another, `tell` says so on standard error, once per process.

    >>> current_setting("method.explainer.ig_steps"), current_setting("train.lr")
    ('method.attribution_settings.ig_steps', 'train.lr')
    """
    for old, now in SETTINGS_NOW.items():
        if key == old or key.startswith(f"{old}."):
            if tell:
                _tell(f"note: setting {old} is called {now} now")
            return now + key.removeprefix(old)
    return key


def with_current_keys(method: Mapping[str, T], *, tell: bool = False) -> dict[str, T]:
    """The settings of a method under the names that they have now."""
    return {
        current_setting(f"method.{name}", tell=tell).removeprefix("method."): value for name, value in method.items()
    }


@cache
def _tell(note: str) -> None:
    say(note, error=True)


def current_convention(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command with the current word as the value of `--convention`.

    >>> current_convention(["a", "--convention", "paper", "--convention=strict"])
    ['a', '--convention', 'paper', '--convention=strict']
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        if argument.startswith("--convention="):
            found[i] = f"--convention={current('convention', argument.partition('=')[2])}"
        elif i and found[i - 1] == "--convention":
            found[i] = current("convention", argument)
    return found


def is_path(name: str) -> bool:
    """Whether a model's name can only be a path: a repository on the Hub is `name` or `owner/name`.

    >>> is_path("google/bert_uncased"), is_path("runs/a/model"), is_path("./bert"), is_path("package:x/y/z")
    (False, True, True, False)
    """
    return not name.startswith("package:") and (name.startswith(("/", ".", "~")) or name.count("/") > 1)


def one_spelling(name: str) -> str:
    r"""A name as all its spellings have it: they differ in capitals, blanks at the ends, or forms of one accent.

    >>> one_spelling(" Cafe\u0301") == one_spelling("caf\u00e9")
    True
    """
    from unicodedata import normalize

    return normalize("NFC", name).strip().casefold()


def told_apart(one: str, other: str) -> tuple[str, str]:
    r"""Two names as a message shows them; two forms of one accent, which look alike, by their numbers.

    >>> told_apart("caf\u00e9", "cafe\u0301")
    ("'caf\\xe9'", "'cafe\\u0301'")
    """
    from unicodedata import normalize

    if normalize("NFC", one) == normalize("NFC", other):
        return ascii(one), ascii(other)
    return shown(one), shown(other)


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, or nothing.

    >>> suggest("convetion", ["convention", "seed"]), suggest("lr", ["train.lr"]), suggest("color", ["seed"])
    (' (did you mean convention?)', ' (did you mean train.lr?)', '')
    """
    import difflib

    if not name or len(name) > SHOWN:
        return ""
    names = list(known)
    near = [key for key in names if key.endswith(f".{name}") or key.startswith(name)][:1]
    near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
