"""What the parser of options says, in the words of our own messages."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from jsonargparse import ArgumentError, ArgumentParser

from unirex.text import suggest

# Names of settings elsewhere that are spelled too differently for `suggest` to find ours.
_ELSEWHERE = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "max_grad_norm": "clip",
    "warmup_ratio": "warmup",
}

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "NoneType": "null",
    "tuple": "a list",
    "list": "a list",
    "dict": "names and values",
}


@contextmanager
def rephrased(parser: ArgumentParser) -> Iterator[None]:
    """Makes what the parser refuses a ValueError with `one_line`."""
    try:
        yield
    except ArgumentError as error:
        raise ValueError(one_line(str(error), parser)) from None


def one_line(message: str, parser: ArgumentParser) -> str:
    """A parser's message in one line of ours: the key, the value found, the value expected, the nearest known name."""
    text = " ".join(message.split())
    if found := re.search(r"Unable to load config ['\"](.+?)['\"]", text):
        key = text.partition(":")[0].removeprefix("Parser key ").strip('"')
        return f"{key} is {found[1]!r}, expected settings as KEY.NAME=VALUE, or a YAML file of them"
    if found := re.search(r'(?:Parser key|key) "([\w.]+)": (.+)', text):
        return _wrong_value(found[1], found[2])
    if found := re.fullmatch(
        r"(?:argument |Option )?['\"]?(--?[\w./-]+)['\"]?: expected (?:one|at least one) argument", text
    ):
        return f"{found[1].split('/')[-1]} has no value, expected one"
    if found := re.search(r"the following arguments are required: (.+)", text) or re.search(
        r'Key "([\w.]+)" is required', text
    ):
        names = [_option(name, parser) for name in found[1].split(", ")]
        return f"{' and '.join(names)} missing, expected with a value"
    inside = re.search(r"Group '([\w.-]+)' does not accept option '([\w.-]+)'", text)
    unknown = re.search(
        r"(?:[Uu]nrecognized arguments: (?:--)?|Key '|unexpected key: |accept nested key '|Option ')([^\s=']+)",
        text,
    )
    if inside is None and unknown is None:
        return text
    return _unknown(".".join(inside.groups()) if inside else unknown[1], text, parser)  # type: ignore[index]


def _unknown(key: str, text: str, parser: ArgumentParser) -> str:
    options = [option for action in parser._actions for option in action.option_strings]
    known = [action.dest for action in parser._actions if action.dest not in ("help", "config", "print_config")]
    if "nrecognized arguments" in text and f"--{key}" not in text:
        return f"unknown argument {key!r}, expected options, which begin with --"
    section, dot, last = key.rpartition(".")
    hint = suggest(f"{section}{dot}{_ELSEWHERE.get(last, last)}", known)
    if any("." in name for name in known):
        return f"unknown configuration key {key!r}{hint}"
    return f"unknown option --{key}{suggest(f'--{key}', options)}"


def _option(name: str, parser: ArgumentParser) -> str:
    """An argument as it is typed: with dashes, but for one without a name."""
    options = [option for action in parser._actions for option in action.option_strings]
    return f"--{name}" if f"--{name}" in options else name


def _wrong_value(key: str, text: str) -> str:
    """`KEY is VALUE, expected KIND`, from what the parser says about a value."""
    value = re.search(r"(?:Got value|Given value): ?(.*?)(?: Given value type: .*)?$", text)
    if value is None:
        return f"{key}: {text}"
    found = value[1] or "''"
    choices = [name.strip("'\" ") for part in re.findall(r"Literal\[(.+?)\]", text) for name in part.split(",")]
    choices = list(dict.fromkeys(choices))
    if choices:
        null = ["null"] if "NoneType" in text else []
        if found == "False":  # as a YAML file's no is read
            choices = ["no in quotes" if choice == "no" else choice for choice in choices]
        return f"{key} is {value[1]!r}, expected {' or '.join([*choices, *null])}{suggest(found, choices)}"
    if length := re.search(r"Expected a tuple with (\d+) elements", text):
        return f"{key} is {found}, expected a list of {length[1]} values"
    kinds = re.findall(r"Expected an? (?:List of )?<class '(\w+)'>", text)
    kinds = kinds or re.findall(r"<class '(\w+)'>", text)
    if not kinds:
        return f"{key} is {found}, {text.partition('Got value')[0].strip().rstrip('.').replace('Expected', 'expected')}"
    expected = dict.fromkeys(_KINDS.get(kind, kind) for kind in kinds)
    return f"{key} is {found}, expected {' or '.join(expected)}"
