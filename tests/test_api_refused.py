"""What `unirex.train` and `Trained.evaluate` refuse leaves everything as it was; what they need not refuse works."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import unirex
from test_api import SMALL, rows
from unirex.training.stopping import StoppedError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def splits() -> dict[str, pd.DataFrame]:
    return {name: pd.DataFrame(rows(n)) for name, n in {"train": 24, "validation": 8, "test": 8}.items()}


@pytest.fixture(scope="module")
def model(splits: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> unirex.Trained:
    return unirex.train(splits, output=tmp_path_factory.mktemp("runs") / "own", **SMALL)


def test_a_run_keeps_its_data_when_an_evaluation_into_it_is_refused(model: unirex.Trained) -> None:
    before = contents(model.folder)
    with pytest.raises(ValueError, match="a training run with results of its own, expected another folder"):
        model.evaluate(pd.DataFrame(rows(5, seed=1)), output=model.folder)
    assert contents(model.folder) == before


def test_a_refused_evaluation_leaves_the_one_before(model: unirex.Trained, tmp_path: Path) -> None:
    place = tmp_path / "judged"
    assert model.evaluate(pd.DataFrame(rows(5, seed=1)), output=place).n_rows == 5
    before = contents(place)
    assert {"tables/test.parquet", "predictions.parquet"} <= before.keys()
    with pytest.raises(ValueError, match="expected"):
        model.evaluate(pd.DataFrame([{"text": "", "label": "pos"}]), output=place)
    assert contents(place) == before


def test_other_rows_are_no_resumption_and_take_no_place(
    model: unirex.Trained, splits: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(model.files.tables)
    for other in (splits | {"train": pd.DataFrame(rows(23))}, {k: v for k, v in splits.items() if k != "test"}):
        with pytest.raises(ValueError, match=r"^--resume: data are not those in .*tables, expected the same rows$"):
            unirex.train(other, output=model.folder, resume=True, **SMALL)
        assert contents(model.files.tables) == before
    monkeypatch.chdir(model.folder.parent)  # the same folder, written otherwise
    assert unirex.train(splits, output="own", resume=True, **SMALL).files.tables == Path("own/tables")
    assert contents(model.files.tables) == before


def test_the_model_of_a_run_on_the_same_table_is_taken(
    model: unirex.Trained, splits: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    other: dict[str, Any] = {**SMALL, "eval": {"references": ["random"]}}
    found = unirex.train(splits, output=tmp_path / "other", trained=str(model.folder), **other)
    weights = [(one.files.model / "model.safetensors").read_bytes() for one in (model, found)]
    assert weights[0] == weights[1]
    with pytest.raises(ValueError, match="its training or dev rows differ"):
        unirex.train(
            splits | {"train": pd.DataFrame(rows(20))}, output=tmp_path / "third", trained=str(model.folder), **other
        )


def test_time_ends_a_run_from_python_too(splits: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    # Without patience: a fast machine would be through before the time is.
    longer: dict[str, Any] = {**SMALL, "train": {"epochs": 1_000_000, "patience": None, "max_time": 2}}
    with pytest.raises(StoppedError, match=r"train.max_time is over.*resume"):
        unirex.train(splits, output=tmp_path / "long", **longer)


def test_settings_hold_any_character(tmp_path: Path) -> None:
    faces = {"positive": "😀\u2028", "negative": "\\ud83d😡"}
    table = pd.DataFrame(rows(24)).replace({"label": faces}).rename(columns={"label": "face 😀"})
    data = {"labels": sorted(faces.values())}
    made = unirex.train(table, output=tmp_path / "run 😀", columns={"label": "face 😀"}, data=data, **SMALL)
    assert made.explain("a *fine* film").label in faces.values()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"config": 5}, "config is 5, expected names of recipes or files"),
        ({"config": [5]}, r"config is \[5\], expected names of recipes or files"),
        ({"data": {"path": "other.csv"}}, "data.path is 'other.csv', expected it left out beside a table"),
        ({"train": {"trackers": {"tensorboard"}}}, r"settings: found .*tensorboard.*, expected what a YAML file can"),
        ({"model": {"backbone": object()}}, "settings: found .*object.*, expected what a YAML file can hold"),
    ],
)
def test_what_is_no_setting_is_refused_in_one_line(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        unirex.train(pd.DataFrame(rows(9)), output=tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()


def test_one_callback_needs_no_list(splits: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    told: list[unirex.Event] = []
    unirex.train(splits, output=tmp_path / "run", callbacks=told.append, config=None, **SMALL)
    assert told[-1].kind == "end"
