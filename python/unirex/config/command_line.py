"""What every command does with its arguments: order of files, variables in paths, errors in one line."""

import os
import re
import sys
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from unirex.config.recipes import find_recipes
from unirex.config.repeated import take_includes
from unirex.disk.untrusted import check_mappings, read_yaml
from unirex.disk.yaml_text import yaml_text
from unirex.extras import missing
from unirex.text import current_setting, line, reason, with_current_keys


def expand(path: str | None, key: str) -> Any:
    """`path` with `$NAME` and `~` replaced; a variable that is not set is an error naming the key."""
    if path is None:
        return None
    try:
        full = os.path.expandvars(Path(path).expanduser() if path.startswith("~") else path)
    except RuntimeError:
        raise ValueError(f"{key} is {path!r}: the home folder of {path.split('/')[0]} is not known") from None
    missing = re.search(r"\$\{?(\w+)", full)
    if missing:
        raise ValueError(f"{key} is {path!r}: the environment variable {missing[1]} is not set")
    return full


def config_first(arguments: list[str]) -> list[str]:
    """The arguments with every `--config=FILE` in front; names of recipes become files, with those of `--include DIR`.

    jsonargparse applies arguments from left to right, so that a file given last would override the command line. A bare
    `key=value` is taken for `--key=value`, unless an option without a value stands before it.

    Raises:
        ValueError: a file or recipe that is not there, is empty, or is no YAML.

    >>> [Path(argument).name for argument in config_first(["seed=1", "--config", "sst/slm-fp"])]
    ['sst.yaml', 'slm-fp.yaml', '--seed=1']
    """
    check_mappings(arguments)
    folders, arguments = take_includes(arguments)
    front: list[Path] = []
    rest: list[str] = []
    iterator = iter(arguments)
    for argument in iterator:
        option, equals, value = argument.partition("=")
        if option == "--config":
            name = value if equals else next(iterator, "")
            if not name or name.startswith("--"):
                raise ValueError("--config has no value, expected a file or the name of a recipe")
            front.extend(find_recipes(name, folders))
        elif _SETTING.match(argument) and not _awaits_value(rest):
            rest.append(f"--{argument}")
        else:
            rest.append(argument)
    for path in front:
        content = read_yaml(path)  # which refuses what would keep the parser busy without end
        if content is None:
            raise ValueError(f"{path}: is empty, expected keys and values")
        _check_sections(content, str(path))
    return [*(f"--config={path}" for path in front), *rest]


def _check_sections(content: Any, where: str, inside: str = "") -> None:
    """Refuses a section without settings, which would take back those of files before, and one in two places.

    >>> _check_sections({"train": None}, "a.yaml")
    Traceback (most recent call last):
    ValueError: a.yaml: train is null, expected settings in it, or the key left out
    >>> _check_sections({"train.lr": 0.1, "train": {"epochs": 3}}, "a.yaml")
    Traceback (most recent call last):
    ValueError: a.yaml: train.lr stands beside train, expected all of that section in one place
    """
    for key, value in content.items() if isinstance(content, dict) else ():
        name = f"{inside}{key}"
        other = next((f"{inside}{one}" for one in content if str(key).startswith(f"{one}.")), None)
        if other is not None:
            raise ValueError(f"{where}: {name} stands beside {other}, expected all of that section in one place")
        if name in _SECTIONS:
            if not isinstance(value, dict) and not (name == "model" and isinstance(value, str)):  # of `unirex evaluate`
                found = "null" if value is None else repr(value)
                raise ValueError(f"{where}: {name} is {found}, expected settings in it, or the key left out")
            _check_sections(value, where, f"{name}.")


_SECTIONS = {
    *("data", "model", "method", "train", "eval"),
    *("data.eraser", "data.hub", "data.toy", "model.random", "method.attribution_settings"),
}
_SETTING = re.compile(r"[A-Za-z]\w*(?:\.\w+)*=")


def _awaits_value(before: list[str]) -> bool:
    return bool(before) and before[-1].startswith("--") and "=" not in before[-1]


def add_config(parser: ArgumentParser) -> None:
    """Adds `--config`, and for the help `--include`, which `config_first` takes."""
    add = parser.add_argument
    add("--config", action="config", help="YAML file, or recipes by name (sst/slm-fp); other arguments win anywhere")
    add("--include", type=str, default=SUPPRESS, metavar="DIR", help="folder with recipes of your own")
    add_import(parser)


def add_import(parser: ArgumentParser) -> None:
    """Adds `--import` for the help; `unirex.config.own_code` takes it."""
    parser.add_argument(
        "--import",
        type=str,
        default=SUPPRESS,
        metavar="FILE",
        help="Python file or module with methods of your own, once for each",
    )


def current_names(arguments: list[str]) -> list[str]:
    """The arguments with the names that settings have now; a file with an old name is replaced by its content.

    >>> current_names(["--method.explainer.ig_steps=5", "--seed", "1"])
    ['--method.attribution_settings.ig_steps=5', '--seed', '1']
    """
    found: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        after_config = bool(found) and found[-1] == "--config"
        if after_config or (key == "--config" and equals):
            name = argument if after_config else value
            found.append(f"{'' if after_config else '--config='}{_current_content(name)}")
        elif key.startswith("--"):
            found.append(f"--{current_setting(key.removeprefix('--'), tell=True)}{equals}{value}")
        else:
            found.append(argument)
    return found


def of_data(arguments: list[str]) -> list[str]:
    """The arguments of `config_first`, with files that describe a training run cut to what they say of data and eval.

    So the file that a model was trained from also says what it is judged on.
    """
    return [
        f"--config={_of_data(path)}" if option == "--config" and equals else argument
        for argument in arguments
        for option, equals, path in [argument.partition("=")]
    ]


def _of_data(path: str) -> str:
    content = read_yaml(Path(path))
    if not isinstance(content, dict) or not (isinstance(content.get("model"), dict) or {*content} & _OF_TRAINING):
        return path
    kept = {key: value for key, value in content.items() if str(key).split(".")[0] in ("data", "eval")}
    return yaml_text(kept)


_OF_TRAINING = {"method", "train", "preset", "seed", "resume", "overwrite", "trained"}


def _current_content(path: str) -> str:
    content = read_yaml(Path(path))
    method = content.get("method") if isinstance(content, dict) else None
    if not isinstance(method, dict) or with_current_keys(method) == method:
        return path
    return yaml_text({**content, "method": with_current_keys(method, tell=True)})


def fail(error: Exception, code: int = 2) -> int:
    """Prints an error as one line on standard error; returns the exit code, by default that of bad input.

    A package that cannot be found is the user's to install where an extra of ours brings it; else it is raised again.
    """
    if isinstance(error, ImportError):
        ours = missing(error)
        if ours is None:
            raise error
        error = ours
    complain(f"error: {line(reason(error))}")
    return code


def guarded(work: Callable[[list[str]], int | None], argv: Sequence[str] | None) -> int:
    """The exit code of a command: what its work returns (None: 0), 2 for bad input, 130 for Ctrl-C."""
    try:
        return work(list(sys.argv[1:] if argv is None else argv)) or 0
    except (ValueError, OSError, ImportError) as error:
        return fail(error)
    except KeyboardInterrupt:
        return 130


def complain(text: str) -> None:
    """Prints a line on standard error, from the first of the processes that run the same command."""
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)  # noqa: T201
