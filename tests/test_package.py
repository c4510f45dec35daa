"""What the package promises as a whole: light imports, one version, pins that agree, no addresses, no dead links."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import unirex
from unirex import schema
from unirex.extras import DISTRIBUTION

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "accelerate", "datasets", "pandas", "ray", "matplotlib")
# In pieces, so that this file passes its own test.
REGISTRIES = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "crates" + ".io",
    "deb" + "ian.org",
    "conda" + ".io",
    "npmjs" + ".org",
)


def tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", "replace")


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a new interpreter has loaded after the code, which may end by SystemExit(0)."""
    program = f"""
import sys
try:
    {code}
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    return set(run.stdout.rpartition("loaded:")[2].split())


def test_scoring_imports_nothing_heavy() -> None:
    package = Path(unirex.__file__).parent
    files = (package / "metrics").rglob("*.py")
    modules = sorted(".".join(["unirex", *path.relative_to(package).with_suffix("").parts]) for path in files)
    assert "unirex.metrics.commands.cli" in modules
    assert loaded_by(f"import unirex, unirex.schema, {', '.join(modules)}") == set()


def test_help_of_the_scoring_command_loads_nothing_heavy() -> None:
    assert (
        loaded_by("import unirex.metrics.commands.cli as cli; sys.argv = ['unirex-metrics', '--help']; cli.main()")
        == set()
    )


def test_help_of_the_report_command_loads_nothing_heavy() -> None:
    assert loaded_by("import unirex.report.cli as cli; sys.argv = ['unirex-report', '--help']; cli.main()") == set()


def test_the_probe_for_heavy_packages_finds_one() -> None:
    assert loaded_by("import pandas.io") == {"pandas"}


def test_installed_command_answers() -> None:
    command = Path(sys.executable).with_name("unirex-metrics")
    run = subprocess.run([command, "--help"], check=True, stdout=subprocess.PIPE, text=True)
    assert "score" in run.stdout


def test_one_version() -> None:
    crate = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
    assert unirex.__version__ == importlib.metadata.version(DISTRIBUTION) == crate


def test_pins_agree() -> None:
    spec = importlib.util.spec_from_file_location("pin", ROOT / "tools" / "pin.py")
    assert spec is not None
    assert spec.loader is not None
    pin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pin)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    uv = tomllib.loads(project)["tool"]["uv"]
    assert pin.pins(constraints) == pin.obeyed(project) == uv["constraint-dependencies"]
    assert set(uv["build-constraint-dependencies"]) <= set(uv["constraint-dependencies"])
    assert pin.with_pins(project, pin.obeyed(project)) == project
    blocks = re.split(r"^(?=[a-z0-9])", constraints, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pin.pins(constraints))
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    direct = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for extra in project["project"]["optional-dependencies"].values():
        direct += extra
    names = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in direct} - {DISTRIBUTION}
    pinned = {requirement.partition("==")[0] for requirement in project["tool"]["uv"]["constraint-dependencies"]}
    assert names <= pinned


def test_no_file_names_a_registry() -> None:
    # Cargo writes the index of its registry into the lock file, and that name is the same for everybody.
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked()
        if path.name != "Cargo.lock"
        for host in REGISTRIES
        if host in text_of(path)
    ]
    assert found == []


def test_links_between_documents_lead_somewhere() -> None:
    links = [
        (path, target)
        for path in tracked()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"(?ms)^```.*?^```", "", text_of(path)))
        if "://" not in target
    ]
    assert [
        f"{path.relative_to(ROOT)}: {target}" for path, target in links if not (path.parent / target).exists()
    ] == []


def test_the_architecture_page_names_every_part() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {
        f"{path.name}/" if path.is_dir() else path.name
        for folder in (ROOT / "python" / "unirex", ROOT / "rust")
        for path in folder.iterdir()
        if path.suffix in {".py", ".rs"} or (path.is_dir() and not path.name.startswith("__"))
    }
    named = set(re.findall(r"(?m)^  (\w+(?:\.\w+|/))  ?", page))
    assert parts - named == {"__init__.py"}
    assert named - parts == {"_rust.pyi"}


def test_the_architecture_page_shows_the_layers_that_are_checked() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "```\n" + "\n".join(project["tool"]["importlinter"]["contracts"][0]["layers"]) + "\n```" in page


def test_the_legend_of_shapes_names_every_axis_in_use() -> None:
    """Of names that end in a shape: capitals after the last underscore, with d and 1 among them."""
    legend = schema.__doc__ or ""
    named = set(re.findall(r"(?:^|  )([A-Za-z1])  \w", legend, re.MULTILINE))
    used: Counter[str] = Counter()
    for path in (ROOT / "python" / "unirex").rglob("*.py"):
        names = re.findall(r"\b[a-z]\w*_(?!CNRG\b)([A-Z1][A-Z1d]*)\b", path.read_text(encoding="utf-8"))
        used.update(axis for name in names for axis in name)
    assert named == set(used), (named, used)


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "--help"],
        ["explain", "--modle=x"],
        ["explain", "--model=x", "--input=none.csv", "--output=y.csv"],
        ["evaluate", "--help"],
        ["evaluate", "--model=x", "--eval.batch_sise=3"],
        ["evaluate", "--model=x", "--scores=none.jsonl"],
        ["evaluate", "--model=x", "--config=none"],
        ["train", "--config=none.yaml"],
        ["suite", "none"],
    ],
    ids=" ".join,
)
def test_help_and_mistakes_are_answered_without_torch(arguments: list[str]) -> None:
    command, *rest = arguments
    expected = 0 if rest == ["--help"] else 2
    call = f"import unirex.{command} as command; code = command.main({rest!r}); assert code == {expected}, code"
    assert loaded_by(call) == set()


@pytest.mark.parametrize(("torch", "expected"), [("absent", "False True True 0"), ("there", "True True False 0")])
def test_garbage_is_not_looked_for_while_a_command_first_imports_torch(
    torch: str, expected: str, tmp_path: Path
) -> None:
    """Whether it is looked for during the import and after it, whether the modules are kept, and what is at the end."""
    (tmp_path / "module.py").write_text("import gc\nduring = gc.isenabled()\n")
    program = f"""
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count()))
sys.path.insert(0, {str(tmp_path)!r})
if {torch == "there"}:
    sys.modules["torch"] = sys
from unirex.config.loading import load
load("module")
print(sys.modules["module"].during, gc.isenabled(), gc.get_freeze_count() > 1000, end=" ")
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    assert run.stdout.strip() == expected


@pytest.mark.parametrize(
    ("torch", "processes", "expected"),
    [
        ("there", None, "said thread registered"),
        ("there", "1", "said thread registered"),
        ("there", "2", "said thread registered taken-apart"),
        ("absent", None, "said thread registered taken-apart"),
    ],
)
def test_a_command_with_torch_ends_without_taking_it_apart(torch: str, processes: str | None, expected: str) -> None:
    program = f"""
import atexit, sys, threading, time
if {torch == "there"}:
    sys.modules["torch"] = sys
class Left:
    def __del__(self):
        print("taken-apart")
left = Left()
atexit.register(print, "registered", end=" ")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread", end=" "))).start()
print("said", end=" ")
from unirex.config.loading import leave
leave(3)
"""
    environment = {k: v for k, v in os.environ.items() if k != "WORLD_SIZE"}
    environment |= {} if processes is None else {"WORLD_SIZE": processes}
    run = subprocess.run(
        [sys.executable, "-c", program], check=False, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert (run.returncode, run.stdout.strip()) == (3, expected)


@pytest.mark.parametrize(("said", "expected"), [({}, "10000"), ({"GOMP_SPINCOUNT": "77"}, "77")])
def test_threads_of_a_command_spin_briefly_unless_told_otherwise(said: dict[str, str], expected: str) -> None:
    if sys.platform != "linux":
        pytest.skip("another OpenMP")
    # The library reads the environment when it is loaded: by itself, or with all of torch.
    found = sorted(Path(importlib.util.find_spec("torch").origin).parent.glob("lib/libgomp*"))  # type: ignore[union-attr, arg-type]
    loads = f"import ctypes; ctypes.CDLL({str(found[0])!r})" if found else "import torch"
    program = f"import unirex.train as t; t.main(['--seed=x']); {loads}"
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, **said, "OMP_DISPLAY_ENV": "verbose"},
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert f"GOMP_SPINCOUNT = '{expected}'" in run.stderr
