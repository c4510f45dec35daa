"""Writes the pins: constraints.txt with hashes, and the same versions into pyproject.toml, where `uv sync` obeys them.

A lock file of uv names the registry it was made with; constraints name packages, versions and hashes only, so they
hold with any mirror. Both are written from one resolution.

    python tools/pin.py             adds what pyproject.toml newly asks for, leaves the other pins alone
    python tools/pin.py --upgrade   moves every pin to the newest version allowed
    python tools/pin.py --check     exit 1 if the two files, or the resolution of pyproject.toml, disagree
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# Names, versions and hashes of everything that unirex, its extras and its development tools need, for CPython 3.11 to
# 3.14 on all platforms. Written by `make lock`; do not edit. Install them with
#     uv pip install --require-hashes -r constraints.txt      or      pip install --require-hashes -r constraints.txt
"""
_BLOCK = re.compile(r"^constraint-dependencies = \[\n(.*?)^\]\n", re.MULTILINE | re.DOTALL)
_BUILD = re.compile(r"^build-constraint-dependencies = \[(.*?)\]\n", re.MULTILINE)


def pins(constraints: str) -> list[str]:
    r"""The requirements of a constraints file, hashes left out: `name==version` or `name==version ; marker`.

    >>> pins("# by hand\na==1 ; sys_platform == 'linux' \\\n    --hash=sha256:00\nb==2\n")
    ["a==1 ; sys_platform == 'linux'", 'b==2']
    """
    return [line.removesuffix("\\").strip() for line in constraints.splitlines() if line[:1].isalnum()]


def obeyed(project: str) -> list[str]:
    """The requirements in `constraint-dependencies` of a pyproject.toml."""
    block = _BLOCK.search(project)
    return re.findall(r'^  "(.*)",$', block[1], re.MULTILINE) if block else []


def with_pins(project: str, requirements: list[str]) -> str:
    """A pyproject.toml that constrains to these requirements; the build backend too, where it is among them."""
    lines = "".join(f'  "{requirement}",\n' for requirement in requirements)
    build = ", ".join(f'"{r}"' for r in requirements if r.startswith("maturin=="))
    project = _BUILD.sub(lambda _: f"build-constraint-dependencies = [{build}]\n", project)
    return _BLOCK.sub(lambda _: f"constraint-dependencies = [\n{lines}]\n", project)


def resolve() -> str:
    """The resolution of pyproject.toml under its own constraints, in the form of a constraints file."""
    command = ["uv", "export", "--quiet", "--all-extras", "--all-groups", "--no-emit-project", "--no-header"]
    run = subprocess.run([*command, "--no-annotate"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return run.stdout


def write(*, upgrade: bool) -> None:
    """Resolves, then writes both files; leaves them as they were where that fails."""
    before = PROJECT.read_text(encoding="utf-8")
    (ROOT / "uv.lock").unlink(missing_ok=True)
    try:
        PROJECT.write_text(with_pins(before, [] if upgrade else obeyed(before)), encoding="utf-8")
        resolution = resolve()
    except BaseException:
        PROJECT.write_text(before, encoding="utf-8")
        raise
    PROJECT.write_text(with_pins(before, pins(resolution)), encoding="utf-8")
    CONSTRAINTS.write_text(HEADER + resolution, encoding="utf-8")


def check() -> list[str]:
    """What disagrees, one line each."""
    pinned = set(pins(CONSTRAINTS.read_text(encoding="utf-8")))
    others = {
        "pyproject.toml": set(obeyed(PROJECT.read_text(encoding="utf-8"))),
        "the resolution": set(pins(resolve())),
    }
    return [
        f"{requirement}: {'only' if requirement in pinned else 'not'} in constraints.txt, compared with {name}"
        for name, found in others.items()
        for requirement in sorted(pinned ^ found)
    ]


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    if arguments == ["--check"]:
        differences = check()
        print("\n".join(differences) or f"{len(pins(CONSTRAINTS.read_text(encoding='utf-8')))} pins agree")
        return int(bool(differences))
    if arguments not in ([], ["--upgrade"]):
        print(__doc__, file=sys.stderr)
        return 2
    write(upgrade=bool(arguments))
    return main(["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
