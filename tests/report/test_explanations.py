"""Explanations of texts, as `python -m unirex.explain` writes them, on the page: each text, with and without labels."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from report.made_runs import HOSTILE, rows
from unirex.disk.predictions import Header, Prediction
from unirex.explainer.answer import ExplainedText
from unirex.explainer.output import explanation_file
from unirex.metrics.state import Resampling
from unirex.report import RunReport, build
from unirex.report.cli import main
from unirex.schema import Example, Segment

FAST = Resampling(replicates=20)
N = 150
HEADER = Header(
    labels=("no", "yes"), choice=False, headline="accuracy", unit="token", scores_from="extractor", rationale_rule="2"
)


def example(row: Prediction) -> Example:
    """The text that a row is about."""
    ends = np.cumsum([len(word) + 1 for word in row.words])
    starts = np.concatenate([[0], ends[:-1]])
    segment = Segment(text=" ".join(row.words), starts=starts, ends=ends - 1)
    return Example(id=row.id, segments=(segment,), label=row.label)


def explain(path: Path, *, labels: Callable[[int], bool], n: int = N, extra: tuple[str, ...] = ()) -> Path:
    """A file of explanations; `labels` says which rows have one."""
    path.parent.mkdir(exist_ok=True)
    with explanation_file(path, HEADER, fractions=(0.1, 0.5), model="m", data="new.jsonl") as write:
        for i, row in enumerate(rows(n, extra=extra)):
            object.__setattr__(row, "gold", None)
            if not labels(i):
                object.__setattr__(row, "label", None)
            write(ExplainedText(example(row), row, HEADER.labels, rule="2", checked=("attention", (0.1, 0.5))), {})
    return path


def every(i: int) -> bool:
    return True


def none(i: int) -> bool:
    return False


def text_of(page: str) -> str:
    body = page[page.index("<main>") : page.index("</main>")]
    return " ".join(re.sub("<[^>]*>", " ", body).split())


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize("labels", [every, none])
def test_every_text_is_shown_with_its_marks(suffix: str, labels: Callable[[int], bool], tmp_path: Path) -> None:
    report = build(explain(tmp_path / f"x.{suffix}", labels=labels), resampling=FAST)
    assert {one.id for one in report.instances} == {row.id for row in rows(N)}
    for one, row in zip(report.instances, rows(N), strict=True):
        [view] = one.views
        assert view is not None
        assert [word.text for word in view.words] == row.words
        assert [word.rationale for word in view.words] == row.rationale.tolist()
        assert [word.score for word in view.words] == [
            None if np.isnan(s) else pytest.approx(s, rel=6e-6) for s in row.scores
        ]
        assert (view.prediction, view.label) == (row.prediction, row.label if labels(0) else None)
        assert "comprehensiveness" in view.values
    page = report.to_html()
    assert page.count('<li class="instance') == N
    assert page.count("<mark") > N  # one for the first two words of each text, which stand side by side
    assert page.index('id="instances"') < page.index('id="overview"')
    assert ("No labels: right or wrong is unknown." in page) == (labels is none)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_what_cannot_be_known_is_said_and_has_no_dash(suffix: str, tmp_path: Path) -> None:
    report = build(explain(tmp_path / f"x.{suffix}", labels=none), resampling=FAST)
    page = text_of(report.to_html())
    assert "No labels: right or wrong is unknown." in page
    assert not re.search(r"wrong\.|None is shown|accuracy|–", page)
    assert "No labels: right or wrong is unknown." in report.to_text()


def test_wrong_ones_are_counted_among_the_labeled(tmp_path: Path) -> None:
    report = build(explain(tmp_path / "x.parquet", labels=lambda i: i < 40), resampling=FAST)
    page = text_of(report.to_html())
    wrong = sum(row.label != row.prediction for row in rows(N)[:40])
    assert len(report.instances) == N
    assert f"{wrong} of 40 are wrong." in page
    assert f"Right {40 - wrong} of 40 times" in page
    assert f"{N - 40} texts have no label: right or wrong is unknown." in page


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_text_stays_text(suffix: str, tmp_path: Path) -> None:
    page = build(explain(tmp_path / f"x.{suffix}", labels=none, extra=tuple(HOSTILE)), resampling=FAST).to_html()
    assert page.count("<script") == 1
    assert "<img" not in page
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt;" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)


def test_formats_say_the_same(tmp_path: Path) -> None:
    reports = [
        build(explain(tmp_path / f"x.{suffix}", labels=every), resampling=FAST)
        for suffix in ("parquet", "jsonl", "csv")
    ]
    assert len({tuple(one.id for one in report.instances) for report in reports}) == 1
    assert len({report.parts[0].report["accuracy"].value for report in reports}) == 1
    assert len({report.parts[0].n_wrong for report in reports}) == 1


def test_two_files_stand_side_by_side(tmp_path: Path) -> None:
    paths = [explain(tmp_path / f"{name}.csv", labels=every, n=20) for name in ("a", "b")]
    report = build(*paths, resampling=FAST)
    assert all(len(one.views) == 2 and None not in one.views for one in report.instances)
    assert report.gains is None
    assert "JSONL and CSV of explanations" in report.to_html()


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_rows_may_have_other_numbers_of_choices(suffix: str, tmp_path: Path) -> None:
    names, path = ("A", "B", "C"), tmp_path / f"x.{suffix}"
    header = replace(HEADER, labels=names, choice=True)
    with explanation_file(path, header, fractions=(0.5,), model="m", data="new.jsonl") as write:
        for i, row in enumerate(rows(6)):
            n = 2 + i % 2
            changed = {"prediction": "B", "label": "AB"[i % 2], "probabilities": np.eye(n)[1] * 0.7 + 0.3 / n}
            answer = replace(row, **changed, gold=None, perturbed={})
            write(ExplainedText(example(answer), answer, names[:n], rule="2"), {})
    report = build(path, resampling=FAST)
    assert report.parts[0].report["accuracy"].value == 0.5
    assert [view.confidence for one in report.instances for view in one.views if view] == pytest.approx([0.85, 0.8] * 3)


def test_a_page_is_the_same_each_time(tmp_path: Path) -> None:
    first, again = (explain(tmp_path / name / "x.html", labels=every, n=3) for name in ("a", "b"))
    assert first.read_bytes() == again.read_bytes()


def test_a_table_has_the_choices_that_its_header_names(tmp_path: Path) -> None:
    header = replace(HEADER, labels=("A", "B"), choice=True)
    (row,) = rows(1)
    for suffix in ("parquet", "html", "jsonl"):
        path = tmp_path / f"x.{suffix}"
        fits = suffix == "jsonl"
        answer = ExplainedText(
            example(row),
            replace(row, probabilities=np.array([0.2, 0.3, 0.5]), prediction="C"),
            ("A", "B", "C"),
            rule="2",
        )
        told = (
            nullcontext()
            if fits
            else pytest.raises(ValueError, match="row id 'row-0': has 3 choices, expected at most 2 as")
        )
        with told, explanation_file(path, header, fractions=(0.1, 0.5), model="m", data="d") as write:
            write(answer, {})
        assert path.exists() == fits


def broken(path: Path, change: Callable[[list[str]], Sequence[str]]) -> Path:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("suffix", "change", "parts"),
    [
        ("csv", lambda lines: ["id,text", "a,b"], ["row 1", "labels", "unirex.explain"]),
        ("csv", lambda lines: [*lines[:2], lines[2].replace("[", "{", 1)], ["row 2", "JSON"]),
        ("csv", lambda lines: [*lines[:3], "only,two"], ["row 3", "2 cells"]),
        ("jsonl", lambda lines: [lines[0], json.dumps({**json.loads(lines[1]), "scores": "no"})], [":2", "scores"]),
        ("jsonl", lambda lines: [lines[0], json.dumps({**json.loads(lines[1]), "labels": ["a"]})], [":2", "labels"]),
        (
            "jsonl",
            lambda lines: [lines[0], json.dumps({**json.loads(lines[1]), "labels": ["yes", "no"]})],
            [":2", "labels", "those of the rows before"],
        ),
        ("csv", lambda lines: [*lines, lines[-1]], ["row-2", "occurs 2 times"]),
    ],
)
def test_bad_rows_are_named(
    suffix: str,
    change: Callable[[list[str]], Sequence[str]],
    parts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = broken(explain(tmp_path / f"x.{suffix}", labels=every, n=3), change)
    out = tmp_path / "x.html"
    assert main([str(path), "-o", str(out), "--replicates", "0"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert all(part in shown for part in (f"x.{suffix}", *parts)), shown
    assert not out.exists()


def test_ten_thousand_texts_fit_in_a_page(tmp_path: Path) -> None:
    path = explain(tmp_path / "x.parquet", labels=none, n=10_000)
    report: RunReport = build(path, resampling=Resampling(replicates=0))
    page = report.to_html()
    assert len(report.instances) == 10_000
    assert len(page.encode()) < 20_000_000


def test_the_limit_holds_where_one_is_given(tmp_path: Path) -> None:
    path, out = explain(tmp_path / "x.jsonl", labels=none), tmp_path / "x.html"
    assert main([str(path), "-o", str(out), "--instances", "7", "--replicates", "0"]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.count('<li class="instance') == 7
    assert f"7 of {N} are on this page" in page
