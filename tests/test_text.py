"""Words that were renamed are still read, with one line that names the new one."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from tests.reference import predictions

from unirex import metrics, text
from unirex.config.run import parse
from unirex.methods.joint import JointConfig
from unirex.metrics.commands import cli
from unirex.text import current_convention

NOTE = "note: convention 'unirex' is called 'paper' now\n"


@pytest.fixture(autouse=True)
def anew() -> None:
    text._tell.cache_clear()


def test_the_old_name_of_the_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "old.yaml"
    recipe.write_text(yaml.safe_dump({"method": {"name": "unirex", "comp_weight": 0.25}}))
    by_file = parse([f"--config={recipe}"], prog="x", description="")
    by_word = parse(["--method.name", "unirex"], prog="x", description="")
    assert isinstance(by_file.method, JointConfig)
    assert (by_file.method.name, by_file.method.comp_weight, by_word.method.name) == ("joint", 0.25, "joint")
    assert capsys.readouterr().err == "note: method.name 'unirex' is called 'joint' now\n"


def test_the_old_name_of_the_convention(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = predictions.table(1, 20)
    old = metrics.score(table, "unirex", resampling=None)  # type: ignore[arg-type]
    assert capsys.readouterr().err == NOTE
    assert old.convention == "paper"
    assert old["token_f1"].value == metrics.score(table, "paper", resampling=None)["token_f1"].value
    assert metrics.aopc([[0.25, 0.5]], "unirex").tolist() == [0.25]  # type: ignore[arg-type]
    file = tmp_path / "a.parquet"
    pq.write_table(table, file)
    text._tell.cache_clear()
    capsys.readouterr()
    assert cli.main(["score", str(file), "--convention=unirex", "--replicates", "0"]) == 0
    assert capsys.readouterr().err.startswith(NOTE)


def test_only_the_value_of_the_option_is_renamed() -> None:
    assert current_convention(["unirex", "--other", "unirex"]) == ["unirex", "--other", "unirex"]
