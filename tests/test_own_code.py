"""`--import FILE`: a method of the user's own file is trained, judged, explained and put in a suite; never unasked."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reference.packages import describe
from unirex import evaluate, explain, suite, train
from unirex.config import inventory, own_code
from unirex.config.own_code import import_own
from unirex.data.source import READERS
from unirex.methods import METHODS, add_method, find_method
from unirex.methods.joint import Joint
from unirex.suites import launch

GUIDE = Path(__file__).parents[1] / "docs" / "howto" / "own-method.md"
TOY = [f"--data.toy.n_{split}={n}" for split, n in {"train": 32, "val": 8, "test": 8}.items()]
SMALL = [*TOY, "--model.random.hidden_size=16", "--train.epochs=1", "--eval.references=[]"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has imported nothing of its own."""
    monkeypatch.setattr(METHODS, "_added", {})
    monkeypatch.setattr(own_code, "_FILES", {})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the method of the guide in a file, and a model trained with it."""
    folder = tmp_path_factory.mktemp("desk")
    code = re.search(
        r"```python brief/unirex_brief.py\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert code is not None
    (folder / "brief.py").write_text(code[1])
    own = [f"--import={folder / 'brief.py'}", "--method.name=brief", "--method.brief_weight=0.3"]
    assert train.main([*own, *SMALL, f"--output={folder / 'run'}"]) == 0
    return folder


def test_a_model_of_an_own_method_is_judged_and_explained(desk: Path, tmp_path: Path) -> None:
    log = [json.loads(line) for line in (desk / "run" / "log.jsonl").read_text().splitlines()]
    assert {"task", "plaus", "brief"} <= log[0].keys()
    imported = f"--import={desk / 'brief.py'}"
    assert evaluate.main([imported, f"--model={desk / 'run'}", *TOY, f"--output={tmp_path / 'again'}"]) == 0
    trained, judged = (pq.read_table(run / "predictions.parquet") for run in (desk / "run", tmp_path / "again"))
    assert trained["scores"].equals(judged["scores"])
    (tmp_path / "a.csv").write_text("text\na fine film\n")
    asked = [f"--model={desk / 'run'}", f"--input={tmp_path / 'a.csv'}", f"--output={tmp_path / 'a.jsonl'}"]
    assert explain.main(["--import", str(desk / "brief.py"), *asked]) == 0
    assert len(json.loads((tmp_path / "a.jsonl").read_text())["words"]) == 3


def test_a_run_names_no_code_and_runs_none_unasked(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "brief.py" not in (desk / "run" / "config.yaml").read_text()
    assert evaluate.main([f"--model={desk / 'run'}", *TOY, f"--output={tmp_path / 'e'}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "run/model: method 'brief' is not known here, expected --import FILE with the file that defines it" in said
    (tmp_path / "c.yaml").write_text(f"import: {desk / 'brief.py'}\nmethod: {{name: brief}}\n")
    assert train.main([f"--config={tmp_path / 'c.yaml'}"]) == 2
    assert "method.name is 'brief', expected one of joint" in capsys.readouterr().err


def test_an_own_method_is_listed(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inventory.main(["methods", "--import", str(desk / "brief.py")]) == 0
    (listed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("brief ")]
    assert listed.split(maxsplit=1)[1] == (find_method("brief").__doc__ or "").partition("\n")[0]
    assert inventory.main(["methods", "--import=none.py"]) == 2
    assert capsys.readouterr().err == "unirex: error: --import none.py: no such file or module\n"


class InProcess:
    """A child process of a suite as a call, which imports no torch again."""

    pid = 0

    def __init__(self, command: list[str], **_: Any) -> None:
        _, dash_m, module, *arguments = command
        assert dash_m == "-m"
        METHODS._added.clear()
        self.code = importlib.import_module(module).main(arguments)

    def wait(self) -> int:
        return self.code


def test_an_own_method_stands_in_a_suite(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.subprocess, "Popen", InProcess)
    settings = "".join(f"\n  {key}: {value}" for key, _, value in (word[2:].partition("=") for word in SMALL))
    (tmp_path / "s.yaml").write_text(
        f"output: {tmp_path / 'out'}\ndata: {{toy: []}}\nmethods: {{brief: {{set: {{method.name: brief}}}}}}\n"
        f"transfer: {{far: {{set: {{data.toy.n_test: 8}}}}}}\nset:{settings}\n"
    )
    assert suite.main([str(tmp_path / "s.yaml"), "--import", str(desk / "brief.py")]) == 0
    assert "brief" in (tmp_path / "out" / "table.csv").read_text()
    assert list((tmp_path / "out").rglob("transfer/far/metrics.json"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n1 / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("def f(:\n", "SyntaxError: invalid syntax (own.py, line 1)"),
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        (
            "from unirex.methods.joint import Joint\nclass Mine(Joint):\n    pass\n",
            "method.name 'joint' is part of unirex, expected another name",
        ),
        (
            "from unirex.methods.joint import Joint\nclass Mine(Joint):\n    config_class = None\n",
            "method Mine: expected config_class with a default for each setting",
        ),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    code: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(code)
    assert explain.main([f"--import={tmp_path / 'own.py'}", "--model=x", "--input=y.csv", "--output=z.csv"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert said in shown


def test_a_module_that_fails_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_broken.py").write_text("x = 1\n\nx.y\n")
    with pytest.raises(ValueError, match=r"^--import own_broken: line 3: AttributeError: 'int' object has no attri"):
        import_own(["--import=own_broken"])


@pytest.mark.parametrize("name", ["none.py", "none", "none.of.this", "", ".", "unirex.no_such"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^--import (.*: no such file or module|has no value, expected a Python file)"
    ):
        import_own([f"--import={name}"])


def test_modules_and_neighbors_are_imported_and_a_reader_adds_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(READERS, "_added", {})
    inner = (
        "from dataclasses import dataclass\nfrom unirex.methods.joint import Joint, JointConfig\n"
        "@dataclass(frozen=True, kw_only=True)\nclass C(JointConfig):\n    name: str = 'inner'\n"
        "class Inner(Joint):\n    config_class = C\n"
    )
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("from own_package.inner import Inner, Joint\n")
    (package / "inner.py").write_text(inner)
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "own_reader.py").write_text(
        "import neighbor\nfrom unirex.data.source import READERS\nREADERS.add('mine', neighbor.read)\n"
    )
    (beside / "neighbor.py").write_text("def read(config, split):\n    return ()\n")
    words = ["--import", "own_package", "--seed=1", f"--import={beside / 'own_reader.py'}"]
    assert import_own(words) == (["own_package", str(beside / "own_reader.py")], ["--seed=1"])
    assert find_method("inner").__name__ == "Inner"
    assert list(METHODS)[-1] == "inner"
    assert tuple(READERS.find("mine")(None, "train")) == ()


def test_a_name_that_an_installed_package_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    describe(tmp_path, "taken-pkg", "[unirex.methods]\ntaken = taken_mod:Taken\n", taken_mod="")
    with pytest.raises(ValueError, match=r"method.name 'taken' is part of taken-pkg .*, expected another name"):
        METHODS.add("taken", Joint)
    with pytest.raises(ValueError, match=r"method is <class 'int'>, expected a subclass of"):
        add_method(int)  # type: ignore[arg-type]
