"""Every command that a page shows is one that the program takes; tests/test_site.py runs those of tutorial and guides.

Most would train for minutes or ask for files that a reader has: here each is read as the program reads it, up to the
point where it would start.
"""

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from unirex.cli import COMMANDS, Command
from unirex.disk.run_folder import CONTROLS
from unirex.metrics.commands.cli import COMMANDS as SCORING
from unirex.suites.recipe import read_suite

ROOT = Path(__file__).parents[1]
FOLLOWED = {"tutorial", "report", "walk", *(path.stem for path in (ROOT / "docs" / "howto").glob("*.md"))}
PAGES = sorted({ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if path.stem not in FOLLOWED)})
STARTS = re.compile(
    r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:uv run )?"
    r"(?:accelerate launch (?:--\S+ )*-m unirex\.|(?:python )?-m unirex\.|unirex-|unirex )"
    rf"(?P<name>{'|'.join([*COMMANDS, 'metrics'])})(?P<rest>(?: .*)?)"
)
SCRIPT = re.compile(r"python (tests/reliability/\w+\.py)")
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
INCOMPLETE = re.compile(r"missing, expected with a value|has no value, expected one")
RUN = re.compile(r"(?P<output>runs/[\w-]+)/runs/(?P<data>[^/]+)/(?P<method>[^/]+)/")
FILES = re.compile(r"[\w./-]+\.(?:yaml|csv|jsonl|parquet|html|py)$")


class Shown(NamedTuple):
    """A command of a page: the subcommand's name and its arguments, which running text may leave out in part."""

    where: str
    name: str
    rest: str
    whole: bool


def shown(page: Path) -> Iterator[Shown]:
    """Commands in blocks, indented or fenced, with their continued lines; and those in running text with arguments."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(ROOT))
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if found := STARTS.fullmatch(line.strip()):
            yield Shown(name, found["name"], found["rest"], whole=True)
    for quoted in INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        found = STARTS.fullmatch(" ".join(quoted.split()))
        if found and found["rest"] and "…" not in quoted:
            yield Shown(name, found["name"], found["rest"], whole=False)


EVERY = [command for page in PAGES for command in shown(page)]


def nothing(*_: object, **__: object) -> int:
    return 0


def train(words: Sequence[str]) -> None:
    from unirex.config.run import parse

    parse(list(words), prog="unirex.train", description="")


def evaluate(words: Sequence[str]) -> None:
    from unirex.evaluate import parse

    parse(list(words))


def suite(words: Sequence[str]) -> None:
    from unirex import suite as command
    from unirex.suites.override import read_override
    from unirex.suites.recipe import read_suite

    options = command._parse(list(words))
    found = read_suite(options.recipe, options.include)
    unknown = set(options.only) - set(found.data) - {name.partition("@")[0] for name in found.methods}
    assert not unknown, f"--only names {unknown}"
    assert all(read_override(text) for text in options.set)


def roar(words: Sequence[str]) -> None:
    from unirex.roar import _parse

    _parse(list(words))


READERS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train,
    "evaluate": evaluate,
    "suite": suite,
    "roar": roar,
}
STARTED = (*(f"unirex.metrics.commands.{name}.run" for name in SCORING), "unirex.metrics.commands.eraser.run",
           "unirex.explain.run", "unirex.report.cli._run")  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone's: the recipes are there, and a corpus."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "part.jsonl").write_text("", encoding="utf-8")
    return folder


def place(words: Sequence[str], desk: Path) -> None:
    """Makes the files and folders that a reader has, empty."""
    for option, word in zip(["", *words], words, strict=False):
        path = desk / word
        if option == "--model":
            path.mkdir(parents=True, exist_ok=True)
        elif FILES.fullmatch(word) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" if word.endswith(".yaml") else "", encoding="utf-8")


@pytest.mark.parametrize("command", EVERY, ids=lambda c: f"{c.where} {c.name}{c.rest}"[:80])
def test_the_program_takes_every_command(
    command: Shown, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("UNIREX_DATA", str(desk))
    for where in STARTED:
        monkeypatch.setattr(where, nothing)
    words = shlex.split(command.rest, comments=True)
    place(words, desk)
    said = ""
    try:
        if command.name in READERS:
            READERS[command.name](words)
        else:
            found = COMMANDS.get(command.name, Command(module="unirex.metrics.commands.cli", about=""))
            if importlib.import_module(found.module).main([*found.first, *words]):
                said = capsys.readouterr().err
    except SystemExit as done:  # help, or the configuration
        said = "stopped" if done.code else ""
    except ValueError as error:
        said = str(error)
    assert not said or (not command.whole and INCOMPLETE.search(said)), said
    assert "is called" not in said + capsys.readouterr().err  # a name of before


def test_runs_of_a_suite_are_called_as_the_suite_calls_them() -> None:
    suites = [read_suite(str(path)) for path in sorted((ROOT / "recipes" / "suites").glob("*.yaml"))]
    seen = 0
    for command in EVERY:
        words = shlex.split(command.rest, comments=True)
        for found in filter(None, map(RUN.match, words)):
            made = [one for one in suites if str(one.output) == found["output"]]
            assert made, command
            methods = {"{method}", *(name for one in made for name in one.methods)}
            assert found["data"] in {"{data}", *(name for one in made for name in one.data)}, command
            assert found["method"] in methods, command
            controls = words[words.index("--controls") + 1 :] if "--controls" in words else []
            assert set(controls) <= {*methods, *CONTROLS}, command
            seen += 1
    assert seen >= 5


EACH = """
import os, runpy, sys, traceback
import unirex.train, torch  # once: it takes its time, as does the end of a process that has it
for script in sys.argv[1:]:
    child = os.fork()
    if not child:
        sys.path[0] = os.path.dirname(script)  # as `python SCRIPT` has it
        try:
            runpy.run_path(script, run_name="loaded")
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(script)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="they fork, and send signals")
def test_scripts_find_what_they_import() -> None:
    """In processes that know nothing of where pytest looks for modules."""
    names = sorted({name for page in PAGES for name in SCRIPT.findall(page.read_text(encoding="utf-8"))})
    assert len(names) >= 6
    command = [sys.executable, "-c", EACH, *(str(ROOT / name) for name in names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pages_show_many_commands() -> None:
    assert len(EVERY) > 70
    assert {"train", "evaluate", "explain", "report", "suite", "metrics", "ls"} <= {c.name for c in EVERY}
