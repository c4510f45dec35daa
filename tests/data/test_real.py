"""Every reader over every real folder, against numbers that were counted without it."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from unirex.data import DataConfig, HubConfig, load_split
from unirex.schema import Example

DATA = os.environ.get("UNIREX_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="UNIREX_DATA does not name a folder of data sets")


@dataclass(frozen=True)
class Expected:
    """A split: rows, mean and largest number of words, gold words in percent, rows without gold, rows all gold."""

    rows: int
    mean: float
    longest: int
    percent: float | None
    unknown: int
    all_gold: int
    labels: str


EXPECTED = {
    "sst": {
        "train": Expected(6920, 19.3, 52, 43.6, 0, 379, "neg 3310 pos 3610"),
        "val": Expected(872, 19.5, 47, 44.4, 0, 38, "neg 428 pos 444"),
        "test": Expected(1274, 19.2, 48, 44.2, 0, 78, "neg 642 pos 632"),
    },
    "movies": {
        "train": Expected(1599, 773.6, 2809, 9.4, 0, 0, "NEG 800 POS 799"),
        "val": Expected(200, 761.5, 1880, 7.2, 0, 0, "NEG 100 POS 100"),
        "test": Expected(139, 796.9, 1922, 31.7, 0, 0, "NEG 71 POS 68"),
    },
    "cose": {
        "train": Expected(8752, 14.9, 67, 51.6, 0, 2757, "A 1707 B 1759 C 1760 D 1791 E 1735"),
        "val": Expected(1086, 15.0, 48, 52.9, 0, 364, "A 213 B 230 C 201 D 222 E 220"),
        "test": Expected(755, 14.6, 60, 55.2, 0, 302, "A 156 B 164 C 145 D 145 E 145"),
    },
    "multirc": {
        "train": Expected(4806, 303.9, 618, 17.2, 0, 0, "False 2658 True 2148"),
        "val": Expected(3214, 305.3, 562, 18.5, 0, 0, "False 1762 True 1452"),
        "test": Expected(3373, 295.2, 490, 17.6, 0, 0, "False 1915 True 1458"),
    },
    "esnli_expl": {
        "train": Expected(8340, 23.6, 110, 20.1, 0, 0, "contradiction 2945 entailment 2488 neutral 2907"),
        "val": Expected(918, 23.5, 49, 20.4, 0, 0, "contradiction 329 entailment 263 neutral 326"),
        "test": Expected(3150, 23.4, 67, 20.6, 0, 0, "contradiction 1055 entailment 1058 neutral 1037"),
    },
    "esnli_gold": {
        "train": Expected(90, 23.3, 57, 19.6, 0, 0, "contradiction 30 entailment 30 neutral 30"),
        "val": Expected(574, 22.8, 60, 25.5, 0, 0, "entailment 574"),
        "test": Expected(375, 23.4, 53, 24.4, 0, 0, "entailment 375"),
    },
    "scifact": {
        "train": Expected(375, 271.2, 648, 25.0, 0, 0, "REFUTES 125 SUPPORTS 250"),
        "val": Expected(94, 312.2, 1108, 24.8, 0, 0, "REFUTES 36 SUPPORTS 58"),
        "test": Expected(124, 266.2, 1212, 23.4, 0, 0, "REFUTES 46 SUPPORTS 78"),
    },
    "toxic_spans": {
        "train": Expected(6603, 45.1, 331, 8.1, 3285, 13, "not_toxic 3285 toxic 3318"),
        "val": Expected(944, 45.7, 222, 8.2, 469, 1, "not_toxic 469 toxic 475"),
        "test": Expected(1320, 43.3, 238, 8.4, 669, 1, "not_toxic 669 toxic 651"),
    },
    "yelp": {"test": Expected(700, 154.0, 1107, None, 700, 0, "neg 359 pos 341")},
    "amazon": {"test": Expected(700, 12.4, 38, None, 700, 0, "neg 353 pos 347")},
    "stf": {
        "train": Expected(1723, 21.8, 382, None, 1723, 0, "hate 859 not_hate 864"),
        "val": Expected(191, 20.7, 75, None, 191, 0, "hate 98 not_hate 93"),
        "test": Expected(334, 22.5, 157, None, 334, 0, "hate 168 not_hate 166"),
    },
    "olid": {
        "train": Expected(11916, 26.1, 112, None, 11916, 0, "not-offensive 7975 offensive 3941"),
        "val": Expected(1324, 27.4, 90, None, 1324, 0, "not-offensive 865 offensive 459"),
        "test": Expected(602, 28.1, 82, None, 602, 0, "not-offensive 425 offensive 177"),
    },
    "irony": {
        "train": Expected(2862, 16.7, 215, None, 2862, 0, "irony 1445 non_irony 1417"),
        "val": Expected(955, 16.3, 45, None, 955, 0, "irony 456 non_irony 499"),
        "test": Expected(548, 17.7, 40, None, 548, 0, "irony 216 non_irony 332"),
    },
}  # fmt: skip
QUERIES = {"multirc": "fixed", "scifact": "fixed", "cose": "fixed"}
CHOICES = {"cose": " [sep] "}


def config(name: str, **options: Any) -> DataConfig:
    assert DATA is not None
    chosen = {"query": QUERIES.get(name, "ignore"), "choices": CHOICES.get(name), **options}
    return DataConfig(source="eraser", path=str(Path(DATA) / name), **chosen)


@pytest.mark.parametrize(("name", "split"), [(name, split) for name, splits in EXPECTED.items() for split in splits])
def test_counts(name: str, split: Any) -> None:
    expected = EXPECTED[name][split]
    examples = list(load_split(config(name), split))  # each is made when it is asked for
    golds = [example.gold for example in examples if example.gold is not None]
    labels = Counter(str(example.label) for example in examples)
    percent = round(100 * float(np.mean([gold.mean() for gold in golds])), 1) if golds else None
    words = [example.n_words for example in examples]
    found = Expected(
        rows=len(examples),
        mean=round(float(np.mean(words)), 1),
        longest=max(words),
        percent=percent,
        unknown=len(examples) - len(golds),
        all_gold=sum(bool((gold == 1).all()) for gold in golds),
        labels=" ".join(f"{label} {count}" for label, count in sorted(labels.items())),
    )
    assert found == expected


@pytest.mark.parametrize(("name", "split"), [("yelp", "val"), ("amazon", "val")])
def test_a_split_that_a_data_set_lacks_is_empty(name: str, split: Any) -> None:
    assert not load_split(config(name), split)


def test_pairs_are_premise_and_hypothesis() -> None:
    example = load_split(config("esnli_gold"), "train")[0]
    assert [segment.selectable for segment in example.segments] == [True, True]
    assert len(example.segments[0].starts) > 0


def test_cose_has_five_choices() -> None:
    examples = load_split(config("cose"), "val")
    assert {example.choice_labels for example in examples} == {("A", "B", "C", "D", "E")}
    assert examples[0].choices == ("europe", "city", "england", "garage", "new jersey")
    assert [word for word, mark in zip(examples[0].words, examples[0].gold, strict=True) if mark] == [
        "crowded",
        "motorway",
    ]


def test_a_selectable_query_adds_words_without_gold() -> None:
    fixed, free = (load_split(config("multirc", query=query), "test")[:50] for query in ("fixed", "selectable"))
    for one, other in zip(fixed, free, strict=True):
        asked = len(other.segments[0].starts)
        assert asked > 0
        assert other.n_words == one.n_words + asked
        assert other.gold is not None
        assert one.gold is not None
        assert other.gold.tolist() == [0] * asked + one.gold.tolist()


def as_row(example: Example) -> dict[str, Any]:
    """The instance as a row of a table, its gold written in each of the forms."""
    text = " ".join(example.words)
    row: dict[str, Any] = {"id": example.id, "text": text, "label": example.label}
    if example.gold is None:
        return {**row, "mask": None, "indices": None, "char_spans": None, "marked": None}
    spans, marked, at = [], [], 0
    for word, mark in zip(example.words, example.gold, strict=True):
        escaped = word.replace("\\", "\\\\").replace("*", "\\*")
        marked.append(f"*{escaped}*" if mark else escaped)
        if mark:
            spans.append([at, at + len(word)])
        at += len(word) + 1
    return {
        **row,
        "mask": example.gold.astype(int).tolist(),
        "indices": np.flatnonzero(example.gold).tolist(),
        "char_spans": spans,
        "marked": " ".join(marked),
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_the_same_through_tables(name: str, tmp_path: Path) -> None:
    examples = list(load_split(config(name, query="ignore", choices=None, limit=150), "test"))
    rows = [as_row(example) for example in examples]
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    texts = [{key: value if value is None else str(value) for key, value in row.items()} for row in rows]
    pa.csv.write_csv(pa.Table.from_pylist(texts), tmp_path / "test.csv")
    for file in ("test.parquet", "test.csv"):
        for form in ("mask", "indices", "char_spans", "marked"):
            hub = HubConfig(id="id", gold=(form,), gold_format=form, splits={"test": "train"})
            again = list(load_split(DataConfig(source="hub", path=str(tmp_path / file), hub=hub), "test"))
            assert [(e.id, e.label, e.words) for e in again] == [(e.id, e.label, e.words) for e in examples]
            for one, other in zip(examples, again, strict=True):
                assert (one.gold is None) == (other.gold is None)
                assert one.gold is None or np.array_equal(one.gold, other.gold)
