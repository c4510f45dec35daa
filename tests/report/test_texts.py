"""Texts on a page: pairs stay two texts, other texts of one id are not paired, long names are told apart."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unirex.metrics.state import Resampling
from unirex.report import build
from unirex.report.document import Limits
from unirex.report.html import to_html
from unirex.report.marks import CLASSES, ShownWord
from unirex.report.marks import to_html as marked
from unirex.report.notes import notes
from unirex.report.tables import summary

SOME = Resampling(replicates=50)
Make = Callable[..., Path]


def relabelled(folder: Path, to: Path) -> Path:
    """The predictions of a run, with other names for its classes."""
    table = pq.read_table(folder / "predictions.parquet")
    head = json.loads(table.schema.metadata[b"unirex"])
    for column in ("label", "prediction"):
        names = [None if name is None else f"{name}2" for name in table[column].to_pylist()]
        table = table.set_column(table.column_names.index(column), column, pa.array(names))
    head |= {"labels": [f"{name}2" for name in head["labels"]], "headline": "accuracy"}
    pq.write_table(table.replace_schema_metadata({"unirex": json.dumps(head)}), to)
    return to


def renamed(folder: Path, to: Path, words: str) -> Path:
    """The predictions of a run, about other texts under the same ids."""
    table = pq.read_table(folder / "predictions.parquet")
    texts = [[f"{words}{n}" for n, _ in enumerate(row)] for row in table["words"].to_pylist()]
    place = table.column_names.index("words")
    pq.write_table(table.set_column(place, "words", pa.array(texts, table.schema.field("words").type)), to)
    return to


def test_other_texts_of_one_id_are_not_paired(make_run: Make, tmp_path: Path) -> None:
    one = make_run("a") / "predictions.parquet"
    same = build(one, make_run("b", seed=1) / "predictions.parquet", resampling=SOME)
    assert same.apart is not None
    assert not same.other_texts
    other = build(one, renamed(make_run("b", seed=1), tmp_path / "b.parquet", "else"), resampling=SOME)
    assert other.apart is None
    assert not other.leaders
    assert any("Rows of one id are different texts in these runs" in note for note in notes(other))
    assert all(sum(view is not None for view in shown.views) == 1 for shown in other.instances)
    assert len(other.instances) > len(same.instances)
    page = to_html(other)
    assert "on the same texts" not in page
    assert "not in this run" not in page
    assert "not paired with this run" in page


def test_other_labels_of_one_text_are_said_to_be_that(make_run: Make, tmp_path: Path) -> None:
    run = make_run("a")
    report = build(run / "predictions.parquet", relabelled(run, tmp_path / "b.parquet"), resampling=SOME)
    assert report.apart is None
    (note,) = (note for note in notes(report) if "Rows of one id" in note)
    assert note == "Rows of one id are of different labels in these runs, so nothing is paired and no run leads."
    assert "not paired with this run" in report.to_text()
    assert "not in this run" not in report.to_text()


def test_other_gold_of_one_text_is_said_to_be_that(make_run: Make, tmp_path: Path) -> None:
    run = make_run("a") / "predictions.parquet"
    table = pq.read_table(run)
    gold = table["gold"].to_pylist()
    gold[-1][0] = 1 - gold[-1][0]  # of the last row, which no page of one text shows
    place = table.column_names.index("gold")
    pq.write_table(
        table.set_column(place, "gold", pa.array(gold, table.schema.field("gold").type)), tmp_path / "b.parquet"
    )
    report = build(run, tmp_path / "b.parquet", resampling=SOME, limits=Limits(instances=1))
    assert report.apart is None
    assert not report.leaders
    (note,) = (note for note in notes(report) if "Rows of one id" in note)
    assert note == "Rows of one id have different gold in these runs, so nothing is paired and no run leads."


def test_a_span_ends_with_its_text() -> None:
    words = [ShownWord(text, 8, 0.9, True, 1.0, True, last=text == "fast") for text in ("so", "fast", "slow")]
    found = re.sub(r"</?(span|u)[^>]*>", "", marked(words, CLASSES))
    assert found == "<mark>so fast</mark><br><mark>slow</mark> "


def test_the_texts_of_a_pair_are_apart_on_the_page(tmp_path: Path) -> None:
    rows = pa.table({
        "id": ["a", "b"],
        "words": [["lake", "fast", "slow", "village"], ["one", "two"]],
        "rationale": [[False, True, True, False], [True, True]],
        "scores": [[0.1, 0.9, 0.8, 0.2], [0.5, 0.6]],
        "documents": [[2, 2], [1, 1]],
    })  # fmt: skip
    pq.write_table(rows, tmp_path / "p.parquet")
    instances = build(tmp_path / "p.parquet", resampling=SOME).instances
    assert [[word.last for word in one.views[0].words] for one in instances if one.views[0]] == [
        [False, True, False, False],
        [True, False],
    ]


def test_names_that_are_cut_short_alike_have_their_own_places(make_run: Make, tmp_path: Path) -> None:
    table = pq.read_table(make_run("a") / "predictions.parquet")
    ids = [f"https://example.org/{'x' * 130}/{n}" for n in range(len(table))]
    pq.write_table(table.set_column(table.column_names.index("id"), "id", [ids]), tmp_path / "p.parquet")
    page = to_html(build(tmp_path / "p.parquet", resampling=SOME))
    names = ("Right", "Wrong", "Doubtful")
    links = re.findall(r'<h3><b>(\w+)</b> <a href="#i(\d+)"', page)
    assert [name for name, _ in links] == [name for name in names if name in dict(links)]
    assert len({place for _, place in links}) == len(links) == 3


def test_the_summary_counts_what_has_a_label(make_run: Make, tmp_path: Path) -> None:
    table = pq.read_table(make_run("a") / "predictions.parquet")
    labels = [label if n < 4 else None for n, label in enumerate(table["label"].to_pylist())]
    kind = table.schema.field("label").type
    pq.write_table(
        table.set_column(table.column_names.index("label"), "label", pa.array(labels, kind)), tmp_path / "p.parquet"
    )
    (part,) = build(tmp_path / "p.parquet", resampling=SOME).parts
    assert summary(part)[0].endswith(f" on 4 of {len(table)} instances.")


def test_a_name_of_a_data_set_is_made_safe(make_run: Make, tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        table = pq.read_table(make_run(name, seed=int(name == "b")) / "predictions.parquet")
        known: dict[str, Any] = json.loads((table.schema.metadata or {})[b"unirex"])
        place = table.column_names.index("data")
        table = table.set_column(place, "data", [np.array(["ev\x1bil\u202e"] * len(table))])
        pq.write_table(table.replace_schema_metadata({"unirex": json.dumps(known)}), tmp_path / f"{name}.parquet")
        paths.append(tmp_path / f"{name}.parquet")
    page = to_html(build(*paths, resampling=SOME))
    assert "\x1b" not in page
    assert "\u202e" not in page
