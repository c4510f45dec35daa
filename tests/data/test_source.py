import ast
import inspect
import json
import re
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

import unirex.data
from unirex.data import DataConfig, DataError, HubConfig, ToyConfig, label_names, load_split
from unirex.data.source import sample
from unirex.schema import Example


def hub(folder: Path, found: list[Any], split: str = "train", **options: Any) -> DataConfig:
    rows = [{"text": f"w{n}", "label": label, "gold": [1]} for n, label in enumerate(found)]
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataConfig(source="hub", path=str(folder), hub=HubConfig(gold=("gold",)), **options)


def words(examples: list[Example]) -> list[str]:
    return [example.words[0] for example in examples]


class TestLimit:
    def test_is_a_seeded_sample_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        config = hub(tmp_path, ["x"] * 50, limit=10)
        chosen = words(load_split(config, "train"))
        assert len(set(chosen)) == 10
        assert chosen == sorted(chosen, key=lambda word: int(word[1:]))
        assert chosen != [f"w{n}" for n in range(10)]
        assert words(load_split(config, "train")) == chosen
        assert words(load_split(replace(config, seed=1), "train")) != chosen
        larger = words(load_split(replace(config, limit=20), "train"))
        assert set(chosen) < set(larger)

    def test_more_than_there_are_is_all(self, tmp_path: Path) -> None:
        assert len(load_split(hub(tmp_path, ["x"] * 3, limit=10), "train")) == 3

    def test_sample_reaches_the_end_of_a_sorted_file(self, tmp_path: Path) -> None:
        sorted_by_label = load_split(hub(tmp_path, ["a"] * 50 + ["b"] * 50), "train")
        labels = Counter(example.label for example in sample(sorted_by_label, 40, seed=0))
        assert labels.total() == 40
        assert min(labels.values()) >= 10
        assert sample(sorted_by_label, None, seed=0) == sorted_by_label

    def test_holds_for_every_split(self) -> None:
        config = DataConfig(toy=ToyConfig(n_train=20, n_val=20, n_test=20), limit=5)
        assert [len(load_split(config, split)) for split in ("train", "val", "test")] == [5, 5, 5]


class TestGoldShare:
    def test_only_training_loses_gold_and_by_class(self, tmp_path: Path) -> None:
        labels = ["a"] * 40 + ["b"] * 20
        config = hub(tmp_path, labels, gold_share=0.25)
        hub(tmp_path, labels, "val")
        train = load_split(config, "train")
        assert Counter(example.label for example in train if example.gold is not None) == {"a": 10, "b": 5}
        assert words(train) == [f"w{n}" for n in range(60)]
        assert all(example.gold is not None for example in load_split(config, "val"))
        assert all(example.gold is not None for example in load_split(replace(config, gold_share=1.0), "train"))

    def test_comes_after_the_limit(self, tmp_path: Path) -> None:
        train = load_split(hub(tmp_path, ["a"] * 100, gold_share=0.5, limit=20), "train")
        assert sum(example.gold is not None for example in train) == 10


class TestLabelNames:
    def test_are_those_of_training_sorted(self, tmp_path: Path) -> None:
        config = hub(tmp_path, ["b", "c", None, "a", "b"])
        assert label_names(config, load_split(config, "train")) == ("a", "b", "c")

    def test_are_those_of_the_config_in_its_order(self, tmp_path: Path) -> None:
        config = hub(tmp_path, ["b"], labels=("c", "b", "a"))
        assert label_names(config, load_split(config, "train")) == ("c", "b", "a")

    def test_of_choices_are_as_many_as_the_longest_row_has(self) -> None:
        config = DataConfig(toy=ToyConfig(kind="choice", n_train=5))
        assert label_names(config, load_split(config, "train")) == ("A", "B", "C", "D")

    def test_then_find_unknown_labels_of_other_splits(self, tmp_path: Path) -> None:
        config = hub(tmp_path, ["a", "b"])
        hub(tmp_path, ["b", "z"], "val")
        assert [example.label for example in load_split(config, "val")] == ["b", "z"]
        named = replace(config, labels=label_names(config, load_split(config, "train")))
        with pytest.raises(DataError, match=r"val\.jsonl:2: the label is 'z', expected one of a, b$"):
            load_split(named, "val")

    @pytest.mark.parametrize("labels", [["a"], [None, None]])
    def test_two_classes_are_needed(self, tmp_path: Path, labels: list[Any]) -> None:
        config = hub(tmp_path, labels)
        found = [label for label in labels if label]
        with pytest.raises(DataError) as error:
            label_names(config, load_split(config, "train"))
        assert str(error.value) == f"{tmp_path}: the training labels are {found}, expected two or more classes"

    def test_the_headline_names_one_of_them(self, tmp_path: Path) -> None:
        config = hub(tmp_path, ["a", "b"], headline="f1:c")
        with pytest.raises(DataError, match=r": headline is 'f1:c', expected f1: and one of a, b$"):
            label_names(config, load_split(config, "train"))
        assert label_names(replace(config, headline="f1:b"), load_split(config, "train")) == ("a", "b")


class TestConfig:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"source": "eraser"}, "data.path is None, expected one for source: eraser"),
            ({"path": "x"}, "data.path is 'x', expected none (source: toy is made in code)"),
            ({"choices": ""}, "data.choices is '', expected the text between two choices, such as ' [sep] '"),
            (
                {"choices": "|", "query": "ignore"},
                "data.query is 'ignore', expected 'fixed' where data.choices cuts it into choices",
            ),
            (
                {"choices": "|", "hub": HubConfig(choices=("a", "b"))},
                "data.choices is '|', expected none together with data.hub.choices",
            ),
            ({"labels": ("a",)}, "data.labels is ['a'], expected two or more different names"),
            ({"labels": ("a", "b", "a")}, "data.labels is ['a', 'b', 'a'], expected two or more different names"),
            ({"headline": "f1"}, "data.headline is 'f1', expected 'accuracy', 'macro_f1' or 'f1:CLASS'"),
            ({"headline": "f1:"}, "data.headline is 'f1:', expected 'accuracy', 'macro_f1' or 'f1:CLASS'"),
            ({"limit": 0}, "data.limit is 0, expected at least 1"),
            ({"gold_share": 0.0}, "data.gold_share is 0.0, expected more than 0 and at most 1"),
            ({"gold_share": 1.01}, "data.gold_share is 1.01, expected more than 0 and at most 1"),
            ({"seed": -1}, "data.seed is -1, expected 0 or more"),
        ],
    )
    def test_bad_values_one_line_each(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            DataConfig(**given)

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ({}, "toy"),
            ({"source": "eraser", "path": "some/where/movies"}, "movies"),
            ({"source": "eraser", "path": "some/where/movies/"}, "movies"),
            ({"source": "hub", "path": "owner/films.csv"}, "films"),
            ({"source": "hub", "path": "x", "name": "mine"}, "mine"),
        ],
    )
    def test_short_name(self, given: dict[str, Any], name: str) -> None:
        assert DataConfig(**given).short_name == name

    def test_is_read_from_yaml_and_arguments(self, tmp_path: Path) -> None:
        yaml = """
            data:
              source: hub
              path: reviews.csv
              labels: [neg, pos]
              rename_labels: {NEG: neg}
              hub:
                gold: [a, b]
                splits: {val: "train[90%:]"}
                marks: [<b>, </b>]
        """
        (tmp_path / "run.yaml").write_text(yaml)
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--config", action="config")
        parser.add_argument("--data", type=DataConfig, default=DataConfig())
        given = [f"--config={tmp_path}/run.yaml", "--data.limit=5", "--data.hub.vote=soft"]
        config = parser.instantiate(parser.parse_args(given)).data
        assert config == DataConfig(
            source="hub",
            path="reviews.csv",
            labels=("neg", "pos"),
            rename_labels={"NEG": "neg"},
            limit=5,
            hub=HubConfig(gold=("a", "b"), splits={"val": "train[90%:]"}, marks=("<b>", "</b>"), vote="soft"),
        )

    @pytest.mark.parametrize("config", [DataConfig, HubConfig, ToyConfig, unirex.data.EraserConfig])
    def test_every_field_is_explained(self, config: type[Any]) -> None:
        assert config.__doc__ is not None
        lines = inspect.cleandoc(config.__doc__).splitlines()
        explained = [line.strip().split(":")[0] for line in lines if line.startswith(" " * 4)]
        assert [name for name in (field.name for field in fields(config)) if name not in explained] == []


def test_readers_need_no_deep_learning_library() -> None:
    folder = Path(unirex.data.__file__).parent
    for name in ("source", "eraser", "hub", "tables", "rows", "record", "gold", "toy", "errors"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {alias.name for node in at_top for alias in node.names} | {
            getattr(node, "module", "") for node in at_top
        }
        assert not modules & {"torch", "transformers", "datasets"}
