"""What a model was trained on is not judged as if it were new: not without a word, and not as its held-out rows."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import unirex
from test_api import SMALL, rows, written
from unirex import evaluate
from unirex.data.source import DataConfig
from unirex.data.toy import ToyConfig
from unirex.disk.run_folder import RunFolder
from unirex.training.seen import check_named, splits_seen


def told(made: unirex.Trained) -> list[str]:
    warnings: list[str] = json.loads(RunFolder(made.folder / "evaluation").warnings.read_text(encoding="utf-8"))
    return [warning for warning in warnings if "trained on" in warning]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> unirex.Trained:
    folder = tmp_path_factory.mktemp("seen")
    return unirex.train(written(folder / "mine.jsonl", 60), output=folder / "run", **SMALL)


@pytest.fixture
def made(trained: unirex.Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> unirex.Trained:
    """A run and its data, that a test may change."""
    shutil.copytree(trained.folder.parent, tmp_path / "all")
    config = tmp_path / "all" / "run" / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace(str(trained.folder.parent), str(tmp_path / "all")))
    monkeypatch.chdir(tmp_path / "all")
    return unirex.Trained("run")


def test_of_a_file_that_has_changed_nothing_is_drawn(made: unirex.Trained) -> None:
    file = Path("mine.jsonl").resolve()
    before = file.read_text(encoding="utf-8")
    assert made.evaluate(file).n_rows == 9
    assert told(made) == []
    more = "\n".join(map(json.dumps, rows(20, seed=1)))
    file.write_text(f"{before}\n{more}", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"mine\.jsonl: its rows are not those that run was trained on, expected the same"
    ):
        made.evaluate(file)
    assert made.evaluate(file, columns={"splits": {"test": "train"}}).n_rows == 80
    file.write_text(before, encoding="utf-8")
    assert made.evaluate(file).n_rows == 9


def test_rows_that_were_trained_on_are_counted(made: unirex.Trained) -> None:
    """Under another name, or as a table, the data are judged whole: whoever asks for it is told what is in them."""
    for data in (shutil.copy("mine.jsonl", "copy.jsonl"), pd.DataFrame(rows(60))):
        assert made.evaluate(data).n_rows == 60
        (line,) = told(made)
        assert line.startswith("data: test: 42 of 60 rows have the text of a row that is trained on")
    assert made.evaluate(pd.DataFrame(rows(20, seed=1))).n_rows == 20
    assert told(made) == []


def test_a_name_may_look_like_a_pattern(made: unirex.Trained) -> None:
    there = Path("mine.jsonl").resolve()
    other = there.rename(there.with_name("mine[1].jsonl"))
    made.files.config.write_text(made.files.config.read_text().replace(str(there), str(other)))
    assert splits_seen(made.files) is not None


@pytest.mark.parametrize("lost", ["data", "path", "log", "digests", "config"])
def test_a_run_that_cannot_tell_says_nothing(made: unirex.Trained, lost: str, capsys: Any) -> None:
    assert splits_seen(made.files) is not None
    file = made.files
    if lost == "data":
        Path("mine.jsonl").rename("other.jsonl")
    elif lost == "path":  # of a data set that only the network has
        file.config.write_text(file.config.read_text().replace(str(Path("mine.jsonl").resolve()), "owner/mine"))
    elif lost == "digests":  # of a version that kept none
        lines = [json.loads(line) for line in file.log.read_text().splitlines()]
        file.log.write_text("\n".join(json.dumps({k: v for k, v in one.items() if k != "data"}) for one in lines))
    else:
        getattr(file, lost).unlink()
    assert splits_seen(made.files) is None
    if lost in ("log", "digests", "config"):
        made.evaluate("mine.jsonl")
        assert "drawn as for training" not in capsys.readouterr().out


def test_the_toy_corpus_is_not_meant_for_a_model_of_other_data(
    made: unirex.Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--model", "run/model", "--output", "judged"]
    assert evaluate.main(asked) == 2
    assert capsys.readouterr().err == (
        "error: data.source is toy, as where no data are named, and run/config.yaml has 'hub'; "
        "expected data, such as --config run/config.yaml\n"
    )
    assert evaluate.main([*asked, "--config", "run/config.yaml"]) == 0


def test_nor_for_a_model_of_other_classes(tmp_path: Path) -> None:
    run, classes = RunFolder(tmp_path), ("negative", "positive")
    check_named(DataConfig(), "test", run, classes)
    check_named(DataConfig(other_labels="missing"), "test", run, ("pos",))
    check_named(DataConfig(toy=ToyConfig(kind="pair")), "test", run, ("pos",))
    with pytest.raises(ValueError, match=r"with classes that the model lacks \(positive\); expected data, such as"):
        check_named(DataConfig(), "test", run, ("negative", "mixed"))
