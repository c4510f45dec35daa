"""What every command does with its arguments: order of files, variables in paths, errors in one line."""

import os
import re
import sys
from argparse import SUPPRESS
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from unirex.config.recipes import find_recipe
from unirex.config.repeated import take_includes
from unirex.disk.untrusted import read_yaml
from unirex.text import current_setting, line, suggest, with_current_keys


def expand(path: str | None, key: str) -> Any:
    """`path` with `$NAME` and `~` replaced; a variable that is not set is an error naming the key."""
    if path is None:
        return None
    full = os.path.expandvars(Path(path).expanduser()) if path.startswith("~") else os.path.expandvars(path)
    missing = re.search(r"\$\{?(\w+)", full)
    if missing:
        raise ValueError(f"{key} is {path!r}: the environment variable {missing[1]} is not set")
    return full


def config_first(arguments: list[str]) -> list[str]:
    """The arguments with every `--config=FILE` in front; names of recipes become files, with those of `--include DIR`.

    jsonargparse applies arguments from left to right, so that a file given last would override the command line.

    Raises:
        ValueError: a file or recipe that is not there, or is no YAML.

    >>> [Path(argument).name for argument in config_first(["--seed", "1", "--config", "sst"])]
    ['sst.yaml', '--seed', '1']
    """
    folders, arguments = take_includes(arguments)
    front, rest = [], []
    iterator = iter(arguments)
    for argument in iterator:
        option, equals, value = argument.partition("=")
        if option == "--config" and (name := value if equals else next(iterator, "")):
            front.append(find_recipe(name, folders))
        else:
            rest.append(argument)
    for path in front:
        read_yaml(path)  # refuses what would keep the parser busy without end
    return [*(f"--config={path}" for path in front), *rest]


def add_config(parser: ArgumentParser) -> None:
    """Adds `--config`, and for the help `--include`, which `config_first` takes."""
    add = parser.add_argument
    add("--config", action="config", help="YAML file or name of a recipe; other arguments win, wherever they are")
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


def _current_content(path: str) -> str:
    content = read_yaml(Path(path))
    method = content.get("method") if isinstance(content, dict) else None
    if not isinstance(method, dict) or with_current_keys("method", method) == method:
        return path
    return yaml.safe_dump({**content, "method": with_current_keys("method", method, tell=True)}, sort_keys=False)


# Names of settings elsewhere that are spelled too differently for `suggest` to find ours.
_ELSEWHERE = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "max_grad_norm": "clip",
    "warmup_ratio": "warmup",
}


def one_line(message: str, parser: ArgumentParser) -> str:
    """A parser's message in one line, with the nearest known key where it is about an unknown one."""
    line = " ".join(message.split())
    if choice := re.search(r'key "([\w.]+)": Expected a typing\.Literal\[(.+?)\]\. Got value: (\S+)', line):
        key, value, known = choice[1], choice[3], [name.strip("'") for name in choice[2].split(", ")]
        return f"{key} is {value!r}, expected {' or '.join(known)}{suggest(value, known)}"
    inside = re.search(r"Group '([\w.-]+)' does not accept option '([\w.-]+)'", line)
    unknown = re.search(
        r"(?:[Uu]nrecognized arguments: --|Key '|unexpected key: |does not accept nested key '|Option ')([\w.-]+)", line
    )
    if inside is None and unknown is None:
        return line
    key = ".".join(inside.groups()) if inside else unknown[1]  # type: ignore[index]
    section, dot, last = key.rpartition(".")
    known = [action.dest for action in parser._actions if action.dest not in ("help", "config", "print_config")]
    return f"unknown configuration key {key!r}{suggest(f'{section}{dot}{_ELSEWHERE.get(last, last)}', known)}"


def fail(error: Exception, code: int = 2) -> int:
    """Prints an error as one line on standard error; returns the exit code, by default that of bad input."""
    complain(f"error: {line(error)}")
    return code


def complain(text: str) -> None:
    """Prints a line on standard error, from the first of the processes that run the same command."""
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)  # noqa: T201
