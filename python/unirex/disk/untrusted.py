"""Reads untrusted JSON and YAML: a value or a ValueError of one line, at a cost bounded by the size of the file."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from unirex.text import shown

DEEPEST = 64
"""Levels of YAML, far more than any configuration has."""
LARGEST = 100_000
"""Values of a YAML file, aliases counted as what they stand for."""

_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: no JSON (`json.JSONDecodeError`), nested too deeply, a number too long, half a character, or a key
            twice in an object.

    >>> read_json('["a", NaN]')
    ['a', nan]
    >>> read_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested more deeply than can be read
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
        if _HALF.search(text if isinstance(text, str) else text.decode("utf-8", "replace")):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested more deeply than can be read") from None
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair, expected whole characters") from None
    except (json.JSONDecodeError, _TwiceError):
        raise
    except ValueError as error:
        reason = "a whole number of thousands of digits" if "digits" in str(error) else " ".join(str(error).split())
        raise ValueError(reason) from None
    return value


class _TwiceError(ValueError):
    """A key of an object is there twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(f"the key {next(name for name in names if names.count(name) > 1)!r} twice in an object")
    return found


_IMPLEMENTATIONS = re.compile(r"_?(attn|experts)_implementation|use_kernels")


def refuse_code(content: object, where: str) -> None:
    """Refuses a model's configuration that names a kernel from elsewhere, which is code.

    >>> refuse_code({"backbone": {"attn_implementation": "my/kernel"}}, "config.json")
    Traceback (most recent call last):
    ValueError: config.json: attn_implementation is 'my/kernel', which is code from elsewhere, expected a plain name
    """
    for key, value in content.items() if isinstance(content, dict) else ():
        if _IMPLEMENTATIONS.fullmatch(str(key)) and not re.fullmatch(r"\w*|None|False", str(value)):
            raise ValueError(f"{where}: {key} is {value!r}, which is code from elsewhere, expected a plain name")
        refuse_code(value, where)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Puts the path in front of any error that a library raises about an untrusted file."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(path):
            raise
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{path}: {kind}{error}") from error


def read_events(path: Path) -> list[dict[str, Any]]:
    """The objects of JSON lines; a line that a kill or a full disk has cut off is left out.

    Raises:
        OSError: the file cannot be read.
    """
    found = []
    for line in path.read_bytes().splitlines():
        with suppress(ValueError):
            found.append(read_json(line))
    return [event for event in found if isinstance(event, dict)]


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ValueError: file and reason; as `parse_yaml`.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def parse_yaml(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        ValueError: not YAML, the same key twice, nested deeper than `DEEPEST`, or more than `LARGEST` values, aliases
            counted as what they stand for.
    """
    try:
        value = deepcopy(_parsed(text))
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair, expected whole characters") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None
    except (KeyError, AttributeError, TypeError) as error:  # of PyYAML
        raise ValueError(f"a value that is not of the kind that its tag names ({error})") from None
    return value


def check_mappings(arguments: Sequence[str]) -> None:
    """Refuses names and values in an argument that have a name twice, of which the parser would take the last.

    >>> check_mappings(["--columns", "{id: a, id: b}"])
    Traceback (most recent call last):
    ValueError: '{id: a, id: b}': line 1: key 'id' again, expected it once (line 1)
    """
    for argument in arguments:
        option, equals, after = argument.partition("=")
        value = after if equals and option.startswith("--") else argument
        if value.lstrip().startswith("{"):
            try:
                parse_yaml(value)
            except ValueError as error:
                if " again, expected it once" in str(error):  # anything else is told by the parser
                    raise ValueError(f"{shown(value)}: {error}") from None


@lru_cache(maxsize=32)  # a command reads a file for the options that decide about others, and again for all
def _parsed(text: str) -> Any:
    _bounded(text)
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader


class _Loader(yaml.SafeLoader):
    """The safe loader, but equal keys are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; a ValueError names a key that occurs twice, and its lines."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ValueError(f"line {line}: key {key.value!r} again, expected it once (line {lines[key.value]})")
            lines[key.value] = line
        return super().construct_mapping(node, deep=deep)


# What JSON lacks: a date stays text, and other kinds are refused.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in kinds if not tag.endswith(":timestamp")]
    for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: how
    for tag, how in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] not in {"timestamp", "binary", "set", "omap", "pairs"}
}


def _bounded(text: str) -> None:
    """Refuses a YAML text whose value would be too deep or too large, from its events, without recursion."""
    sizes: list[int] = [0]
    names: list[str | None] = []
    known: dict[str, int] = {}
    for event in yaml.parse(text):
        if isinstance(event, yaml.CollectionStartEvent):
            names.append(event.anchor)
            sizes.append(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, name = sizes.pop(), names.pop()
            if name is not None:
                known[name] = size
            sizes[-1] += size
        elif isinstance(event, yaml.AliasEvent):
            sizes[-1] += known.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
        if len(sizes) > DEEPEST or sizes[-1] > LARGEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels or more than {LARGEST} values with its aliases")
