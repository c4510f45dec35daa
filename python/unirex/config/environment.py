"""`unirex env`: versions, devices, and which extras are here, as lines to paste into a bug report."""

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata

from unirex import __version__
from unirex.extras import DISTRIBUTION, install
from unirex.text import say


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the lines; the exit code: 0, or 2 for an argument."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given and not {"-h", "--help"} & set(given):
        say(f"unirex: error: env takes no argument, found {given[0]!r}", error=True)
        return 2
    say("usage: unirex env\n\nPrints versions and devices." if given else "\n".join(_lines()))
    return 0


def _lines() -> Iterator[str]:
    yield f"unirex        {__version__}"
    if _version("unirex"):
        yield "warning       the package unirex of the index is installed too: one of the two hides the other"
    yield f"python        {platform.python_version()} ({platform.python_implementation()})"
    yield f"system        {platform.platform()}, {os.cpu_count()} CPUs"
    yield f"devices       {_devices()}"
    for extra, packages in _requirements().items():
        lacking = [name for name, version in packages.items() if version is None]
        state = f"missing {', '.join(lacking)}: {install(extra)}" if extra and lacking else "present"
        yield f"{extra or 'plain install':13s} {state}"
        yield from (f"  {name} {version}" for name, version in packages.items() if version is not None)


def _requirements() -> dict[str, dict[str, str | None]]:
    """By extra ("" for a plain install): the version of each package it brings, None where that is missing."""
    found: dict[str, dict[str, str | None]] = {}
    for requirement in metadata.requires(DISTRIBUTION) or ():
        name = requirement.split(";")[0]
        for end in " [<>=~!":
            name = name.partition(end)[0]
        extra = requirement.partition("extra ==")[2].strip(" '\"")
        found.setdefault(extra, {})[name] = _version(name)
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> str:
    try:
        import torch
    except ImportError:
        return "unknown without torch"
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None:
        return f"cpu only ({torch.get_num_threads()} threads)"
    if found.type != "cuda":
        return f"{torch.accelerator.device_count()} x {found.type}"
    return (
        ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        + f" (CUDA {torch.version.cuda})"
    )
