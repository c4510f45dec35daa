"""Checks the licences of the Python packages that unirex brings, extras included: `make licences`.

Reads what installed packages say about themselves, so it sees those of this platform. cargo-deny does it for crates.
"""

import importlib.metadata
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib",
}  # fmt: skip
# What packages write instead of the identifiers of SPDX.
NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": NVIDIA,
    "Python Software Foundation License": "PSF-2.0",
}
# Packages that do not say it in their metadata, looked up by hand.
BY_HAND = {"cuda-toolkit": [NVIDIA]}
# Not free: torch brings them on Linux.
PROPRIETARY = re.compile(r"nvidia-[a-z0-9-]+|cuda-toolkit")


def normal(name: str) -> str:
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def stated(distribution: importlib.metadata.Distribution) -> list[str]:
    """What a package gives as its licence: the expression, else the field where it is a name, else the classifiers."""
    metadata = distribution.metadata
    fields = (metadata[field] for field in ("License-Expression", "License") if field in metadata)
    named = next((str(field).strip() for field in fields if field), "")
    if named and "\n" not in named:  # a text of several lines is the licence itself
        return [named]
    classifiers = [str(line).split(" :: ") for line in metadata.get_all("Classifier") or []]
    return [line[-1] for line in classifiers if line[0] == "License" and line[-1] != "OSI Approved"]


def identifiers(licence: str) -> list[str]:
    """The licences that a name or an expression stands for, whether all hold or one may be chosen.

    >>> identifiers("Apache Software License")
    ['Apache-2.0']
    >>> identifiers("(MIT OR Apache-2.0 WITH LLVM-exception) AND Zlib")
    ['MIT', 'Apache-2.0 WITH LLVM-exception', 'Zlib']
    """
    if licence in NAMES:
        return [NAMES[licence]]
    return [part for found in re.split(r"\bAND\b|\bOR\b|[()]", licence) if (part := found.strip())]


def reached(requirements: list[str]) -> tuple[dict[str, importlib.metadata.Distribution], list[str]]:
    """The installed packages that requirements lead to, by name, and a line for each that is missing."""
    found: dict[str, importlib.metadata.Distribution] = {}
    missing: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(requirement) for requirement in requirements]
    while waiting:
        requirement = waiting.pop()
        name = normal(requirement.name)
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            try:
                found[name] = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                missing.add(f"{name}: not installed, so its licence is not known")
                continue
            needs = [Requirement(need) for need in found[name].requires or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return found, sorted(missing)


def check(requirements: list[str]) -> tuple[Counter[str], list[str]]:
    """How many packages name each licence, and a line for each package that must not be brought."""
    found, lines = reached(requirements)
    counts: Counter[str] = Counter()
    for name, distribution in sorted(found.items()):
        licences = stated(distribution) or BY_HAND.get(name, [])
        named = {identifier for licence in licences for identifier in identifiers(licence)}
        allowed = ALLOWED | {NVIDIA} if PROPRIETARY.fullmatch(name) else ALLOWED
        counts.update(named)
        if not named or named - allowed:
            said = " and ".join(sorted(named - allowed)) or "not stated"
            lines.append(f"{name} {distribution.version}: licence {said}, expected one that tools/licences.py allows")
    return counts, lines


def main() -> int:
    """Checks what pyproject.toml asks for, all extras included; exit code 1 if a licence is not allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    counts, lines = check([*project["dependencies"], *extras])
    print("\n".join(lines) or ", ".join(f"{licence} {count}" for licence, count in counts.most_common()))
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
