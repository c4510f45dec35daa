"""Options that may be given several times and are read before all others."""

from collections.abc import Sequence


def take_all(option: str, arguments: Sequence[str], expected: str) -> tuple[list[str], list[str]]:
    """The values of every `OPTION VALUE`, and the other arguments.

    Args:
        option: with its dashes.
        arguments: of a command.
        expected: what a value is, for the message about one that is missing.

    >>> take_all("--include", ["--include", "mine", "--seed", "1", "--include=yours"], "a folder")
    (['mine', 'yours'], ['--seed', '1'])
    """
    values: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != option:
            rest.append(word)
            continue
        values.append(value if equals else next(words, ""))
        if not values[-1]:
            raise ValueError(f"{option} has no value, expected {expected}")
    return values, rest


def take_includes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folders of every `--include DIR`, and the other arguments."""
    return take_all("--include", arguments, "a folder of recipes")
