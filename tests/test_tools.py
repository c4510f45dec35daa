"""The tools of the clone that nothing else runs: licences, bills of materials and the list of benchmarks."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(folder: Path, name: str, *metadata: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    lines = ("Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *metadata, "")
    (info / "METADATA").write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (["License-Expression: MIT OR Apache-2.0"], None),
        (["License: BSD 3", " with its text", "Classifier: License :: OSI Approved :: BSD License"], None),
        (["License-Expression: MIT AND GPL-3.0-only"], "GPL-3.0-only"),
        (["License: AGPL", "Classifier: License :: OSI Approved :: MIT License"], "AGPL"),
        (["Classifier: License :: Other/Proprietary License"], "Other/Proprietary License"),
        (["License-Expression: LicenseRef-NVIDIA-Proprietary"], "LicenseRef-NVIDIA-Proprietary"),
        ([], "not stated"),
    ],
)
def test_licences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: list[str], said: str | None) -> None:
    install(tmp_path, "made-up-top", "License-Expression: MIT", "Requires-Dist: made-up-inner; extra == 'all'")
    install(tmp_path, "made-up-inner", *metadata)
    monkeypatch.syspath_prepend(tmp_path)
    check = tool("licences").check
    assert check(["made-up-top"])[1] == []
    expected = f"made-up-inner 1.0: licence {said}, expected one that tools/licences.py allows"
    assert check(["made-up-top[all]>=1"])[1] == ([] if said is None else [expected])


def test_a_package_that_is_not_installed_has_no_known_licence() -> None:
    assert tool("licences").check(["made-up-absent"])[1] == [
        "made-up-absent: not installed, so its licence is not known"
    ]


def test_bills_are_the_same_each_time_and_hashed() -> None:
    command = [sys.executable, str(ROOT / "tools" / "sbom.py")]
    everything, again, crates = (
        subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE).stdout
        for options in ([], [], ["--crates"])
    )
    assert everything == again
    every, built = ({part["purl"]: part for part in json.loads(bill)["components"]} for bill in (everything, crates))
    assert [purl for purl, part in every.items() if not part["hashes"]] == []
    assert {purl.split("@")[0] for purl in built} >= {"pkg:cargo/pyo3", "pkg:cargo/rayon", "pkg:cargo/rayon-core"}
    assert built.items() <= every.items()
    assert all(purl.startswith("pkg:cargo/") for purl in built)
    assert not any(purl.startswith("pkg:cargo/criterion@") for purl in built)  # for development only
    page = " ".join((ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").split())
    rust = sum(purl.startswith("pkg:cargo/") for purl in every)
    assert f"{len(every)} components ({rust} crates, {len(every) - rust} packages)" in page
    assert f"lists the {len(built)} crates" in page


@pytest.mark.parametrize("name", ["sbom", "licences", "pin"])
def test_examples(name: str) -> None:
    import doctest

    results = doctest.testmod(tool(name))
    assert results.failed == 0
    assert results.attempted > 0


MODULE = '''
"""A module."""


def clamp(value: int, high: int) -> int:
    """The value, up to high."""
    if value > high:
        raise ValueError("value is too high")
    return value + 0
'''
TEST = """
import small_clamp


def test_clamp():
    assert small_clamp.clamp(2, 3) == 2
    assert small_clamp.clamp(3, 3) == 3
"""


def test_mutants_that_live_are_named_and_the_others_counted(tmp_path: Path) -> None:
    """Five mutants: `>` twice, `raise` left out, `+` and `0`; a message is none. Three of them are noticed."""
    module, test = tmp_path / "small_clamp.py", tmp_path / "test_small.py"
    module.write_text(MODULE, encoding="utf-8")
    test.write_text(TEST, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "tools/mutants.py", str(module), "--tests", str(test)],
        check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("clamp: raise ValueError('value is too high')  =>  pass    (line 8)")
    assert lines[1].endswith("clamp: return value + 0  =>  return value - 0    (line 9)")
    assert lines[2].endswith("small_clamp.py: 60.0% of 5 (of 5) killed; " + str(COUNTS))
    assert module.read_text(encoding="utf-8") == MODULE


COUNTS = {"killed": 3, "out of time": 0, "survived": 2, "equivalent": 0}


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("use crate::a::One;", ["a.rs", "room/inner.rs", "a.rs"]),
        ("fn f() { crate::{pool, a::two()} }", ["a.rs", "room/inner.rs", "a.rs"]),
        ("use super::Name;", ["room/inner.rs", "room/mod.rs", "room/inner.rs"]),
        ("use super::super::{a};", ["a.rs", "room/inner.rs", "a.rs"]),
        ("// use crate::a::One;\n#[cfg(test)]\nmod tests { use crate::a::One; fn f() {} }", None),
        ("#[cfg(test)]\nuse crate::a::One;\nuse crate::b;", None),
    ],
)
def test_a_circle_of_rust_files_is_found(tmp_path: Path, inner: str, expected: list[str] | None) -> None:
    files = {
        "lib.rs": "pub mod a; pub mod b; pub mod room;",
        "a.rs": "use crate::{b, room::inner::Thing as Other};",
        "b.rs": "use crate::room::Name;" if expected is None else "",
        "room/mod.rs": "mod inner;\npub use inner::{Thing};" if "super::Name" in inner else "pub mod inner;",
        "room/inner.rs": inner,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = tool("rust_circles").circle(tmp_path)
    assert (found and [path.relative_to(tmp_path).as_posix() for path in found]) == expected


def test_the_crate_has_no_circle(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "tools/rust_circles.py"], cwd=ROOT, capture_output=True, check=True)
    assert found.stdout == b""
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.rs").write_text(f"use crate::{other};", encoding="utf-8")
    command = [sys.executable, "tools/rust_circles.py", str(tmp_path)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert (found.returncode, found.stdout) == (1, b"a circle: a.rs -> b.rs -> a.rs\n")


def test_make_runs_every_benchmark_that_asks_for_nothing() -> None:
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    left_out = re.findall(r"filter-out (.*),\$\(wildcard benches/\*\.py\)", made)
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "benches").glob("*.py"))}
    asking = [f"benches/{name}" for name, text in texts.items() if re.search(r'add_argument\("\w', text)]
    assert left_out == [" ".join(asking)]
