"""`unirex ls recipes|methods|metrics`: what there is, one name a line with what it is."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from unirex.config.own_code import import_own
from unirex.config.recipes import PACKAGED, about
from unirex.config.repeated import take_includes
from unirex.text import line, say, suggest


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 2 with one line on standard error."""
    try:
        folders, rest = take_includes(sys.argv[1:] if argv is None else argv)
        _, rest = import_own(rest)
        if {"-h", "--help"} & set(rest):
            say(
                f"usage: unirex ls [--include DIR] [--import FILE] {'|'.join(KINDS)}\n\nLists what there is.\n\n"
                "recipes: for `unirex train --config NAME` and `unirex suite NAME`; first those in DIR\n"
                "methods: for `--method.name NAME`, with those of your own in FILE\n"
                "metrics: what `unirex score` reports (docs/metrics.md)"
            )
            return 0
        if len(rest) != 1 or rest[0] not in KINDS:
            found = " ".join(rest)
            raise ValueError(f"ls {found!r}, expected one of {', '.join(KINDS)}{suggest(found, KINDS)}")
        lines = list(KINDS[rest[0]](folders))
    except (ValueError, OSError) as error:
        say(f"unirex: error: {line(error)}", error=True)
        return 2
    width = max((len(name) for name, _ in lines), default=0)
    say("\n".join(f"{name.ljust(width)}  {what}".rstrip() for name, what in lines))
    return 0


def _recipes(folders: Sequence[str]) -> Iterable[tuple[str, str]]:
    for folder in (*map(Path, folders), PACKAGED):
        if not folder.is_dir():
            raise ValueError(f"--include {folder}: no such folder")
        for path in sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), path)):
            yield path.relative_to(folder).with_suffix("").as_posix(), about(path)


def _methods(folders: Sequence[str]) -> Iterable[tuple[str, str]]:
    from unirex.methods import METHODS, find_facts

    for name in METHODS:
        yield name, (find_facts(name).__doc__ or "").partition("\n")[0]


def _metrics(folders: Sequence[str]) -> Iterable[tuple[str, str]]:
    from unirex.metrics.families import FAMILIES

    for family in FAMILIES:
        yield family.name, family.meaning


KINDS: dict[str, Callable[[Sequence[str]], Iterable[tuple[str, str]]]] = {
    "recipes": _recipes,
    "methods": _methods,
    "metrics": _metrics,
}
