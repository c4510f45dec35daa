"""What a user has in a folder is never lost to a run, an evaluation or a saved model that is given the folder."""

from pathlib import Path

import pandas as pd
import pytest

import unirex
from test_api import SMALL, rows
from test_api_refused import contents
from unirex import evaluate, train

TOY = ["--data.source=toy", "--data.toy.n_train=16", "--data.toy.n_val=6", "--data.toy.n_test=6"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> unirex.Trained:
    splits = {name: pd.DataFrame(rows(n)) for name, n in {"train": 16, "validation": 6, "test": 6}.items()}
    return unirex.train(splits, output=tmp_path_factory.mktemp("runs") / "own", **SMALL)


@pytest.mark.parametrize(
    "mine",
    ["model/mine.bin", "tables/mine.csv", "stages/1", "reference/paper.bib", "predictions.parquet", "log.jsonl"],
)
@pytest.mark.parametrize("more", [[], ["--overwrite=true"], ["--resume=true"]])
def test_training_takes_no_folder_of_others(
    mine: str, more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / mine
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    assert train.main([*TOY, f"--output={tmp_path}", *more]) == 2
    first = mine if mine.startswith("tables") else mine.partition("/")[0]
    assert capsys.readouterr().err == f"error: output {tmp_path} holds {first}, and no run, expected a new folder\n"
    assert contents(tmp_path) == {mine: b"mine"}


def test_from_python_neither(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"holds tables/mine\.csv, and no run, expected a new folder$"):
        unirex.train(rows(9), output=tmp_path, **SMALL)
    assert contents(tmp_path) == {"tables/mine.csv": b"mine"}


def test_a_folder_with_other_files_or_tables_of_a_start_that_failed_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "train.parquet").write_text("half")
    splits = {name: pd.DataFrame(rows(6)) for name in ("train", "validation", "test")}
    assert unirex.train(splits, output=tmp_path, **SMALL).files.predictions.is_file()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_evaluation_keeps_tables_of_others(
    model: unirex.Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"which holds tables/mine\.csv, expected another folder$"):
        model.evaluate(pd.DataFrame(rows(5, seed=1)), output=tmp_path)
    assert evaluate.main([f"--model={model.folder}", *TOY, f"--output={tmp_path}"]) == 2
    assert "which holds tables/mine.csv, expected another folder" in capsys.readouterr().err
    assert contents(tmp_path) == {"tables/mine.csv": b"mine"}


def test_a_saved_model_replaces_a_model_and_nothing_else(model: unirex.Trained, tmp_path: Path) -> None:
    explainer, place = model.explainer, tmp_path / "kept"
    explainer.save_pretrained(place)
    saved = contents(place)
    (place / "model-00001-of-00002.safetensors").write_text("of a larger one")
    explainer.save_pretrained(place)
    assert contents(place) == saved
    for mine in ("data.csv", "notes/thesis.txt"):
        file = place / mine
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
        with pytest.raises(ValueError, match=f"^{place} holds {mine}, expected a new folder or that of a model$"):
            explainer.save_pretrained(place)
        assert contents(place) == saved | {mine: b"mine"}
        file.unlink()
