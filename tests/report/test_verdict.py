"""The first screen: a verdict hedged by its intervals, three texts, then numbers; and the same by class."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from report.made_runs import FRACTIONS, rows
from unirex.disk.predictions import Header, Prediction, to_table
from unirex.metrics.state import Resampling
from unirex.report import RunReport, build
from unirex.report.cli import main
from unirex.report.verdict import examples, standings, verdict

SOME = Resampling(replicates=200)
HEADER = Header(
    labels=("hate", "none", "odd"),
    choice=False,
    headline="accuracy",
    unit="token",
    scores_from="extractor",
    rationale_rule="2",
)
LOSS = {"hate": 0.48, "none": 0.03, "odd": -0.06}
"""What removing the marked words takes from the probability of each answer."""


def made(n: int, *, right: float = 0.7, loss: dict[str, float] | None = None) -> list[Prediction]:
    rng = np.random.default_rng(7)
    found: list[Prediction] = []
    for i, row in enumerate(rows(n)):
        place = i % 3
        name = HEADER.labels[place]
        label = name if rng.random() < right else HEADER.labels[(place + 1) % 3]

        def mass(p: float, place: int = place) -> list[float]:
            return [p if k == place else (1 - p) / 2 for k in range(3)]

        p = 0.6 + 0.3 * float(rng.random())
        lost = (LOSS if loss is None else loss)[name] + float(rng.normal(scale=0.01))
        removed: Any = np.array([mass(p - lost)] * len(FRACTIONS))
        kept: Any = np.array([mass(p)] * len(FRACTIONS))
        changes = {
            "prediction": name,
            "label": label,
            "probabilities": np.array(mass(p)),
            "perturbed": {"keep.attention.self": kept, "remove.attention.self": removed},
        }
        for field, value in changes.items():
            object.__setattr__(row, field, value)
        found.append(row)
    return found


def report_of(path: Path, found: list[Prediction], resampling: Resampling = SOME) -> RunReport:
    pq.write_table(to_table(found, HEADER, fractions=FRACTIONS, model="m", data="made"), path)
    return build(path, resampling=resampling)


def test_the_verdict_is_computed(tmp_path: Path) -> None:
    found = made(90)
    report = report_of(tmp_path / "a.parquet", found)
    right = sum(row.label == row.prediction for row in found)
    first, *_, last = verdict(report.parts[0])
    assert first.startswith(f"Right {right} of 90 times (likely between ")
    assert last == ("Its marked words matter for “hate”, hardly matter for “none”, speak against its answer for “odd”.")
    assert first in report.to_html()
    assert last in report.to_text()


def test_a_class_in_a_task_score_is_the_datas(tmp_path: Path) -> None:
    header = replace(HEADER, labels=("hate", "none", "not_ODD\x1b[31m"), headline="f1:not_ODD\x1b[31m")
    found = [
        replace(row, label=header.labels[i % 3], prediction=header.labels[i % 3]) for i, row in enumerate(made(30))
    ]
    pq.write_table(to_table(found, header, fractions=FRACTIONS, model="m", data="made"), tmp_path / "a.parquet")
    report = build(tmp_path / "a.parquet", resampling=SOME)
    for text in (report.to_text(color=False), report.to_html()):
        assert "1:not_ODD" in text
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(0.4, "matter for every answer"), (0.0, "hardly matter for any answer"), (-0.05, "speak against its answers")],
)
def test_one_finding_for_all_answers(loss: float, expected: str, tmp_path: Path) -> None:
    report = report_of(tmp_path / "a.parquet", made(60, loss=dict.fromkeys(LOSS, loss)))
    assert verdict(report.parts[0])[-1] == f"Its marked words {expected}."


def test_nothing_is_claimed_without_an_interval(tmp_path: Path) -> None:
    report = report_of(tmp_path / "a.parquet", made(60), Resampling(replicates=0))
    said = verdict(report.parts[0])
    assert said[-1] == "Its marked words may or may not matter for every answer."
    assert "likely" not in said[0]


def test_chance_is_said(tmp_path: Path) -> None:
    said = " ".join(verdict(report_of(tmp_path / "a.parquet", made(90, right=0.3)).parts[0]))
    assert "Always answering “" in said
    assert "Always" not in " ".join(verdict(report_of(tmp_path / "b.parquet", made(90, right=0.95)).parts[0]))


def test_marks_must_do_more_than_random_words(make_run: Callable[..., Path]) -> None:
    part = build(make_run("a", n=200), resampling=SOME).parts[0]  # random numbers, and a control of random numbers
    assert set(part.reference_classes["random"]) == {"no", "yes"}
    assert "matter" not in standings(part).values()


def test_one_right_one_wrong_one_doubtful_before_any_number(tmp_path: Path) -> None:
    report = report_of(tmp_path / "a.parquet", made(90))
    chosen = dict(examples(report))
    assert list(chosen) == ["Right", "Wrong", "Doubtful"]
    assert not chosen["Right"].wrong
    assert chosen["Wrong"].wrong
    sure = {name: view.confidence for name, one in chosen.items() for view in one.views if view is not None}
    assert sure["Doubtful"] == min(v.confidence for one in report.instances for v in one.views if v is not None)
    page = report.to_html()
    first = page[page.index('id="verdict"') : page.index('id="overview"')]
    assert re.findall(r'<div class="example">\s*<h3><b>(\w+)</b>', first) == ["Right", "Wrong", "Doubtful"]
    assert first.count('<p class="words"') == 3
    assert "<mark" in first
    assert "<table" not in first


def test_terms_have_a_plain_name_first(make_run: Callable[..., Path]) -> None:
    page = re.sub("<[^>]*>|\u00ad", "", build(make_run(), resampling=SOME).to_html().split("<table", 1)[1])
    for plain, term in (
        ("agreement with people", "AUPRC"),
        ("loss without the top words", "comprehensiveness"),
        ("what people marked", "gold"),
        ("Definitions", "convention"),
    ):
        assert 0 <= page.index(plain) < page.index(term), term


def test_each_answer_has_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(tmp_path / "a.parquet", made(90))
    classes = report.parts[0].classes
    for name, loss in LOSS.items():
        assert classes[name].n_rows == 30
        assert classes[name]["comprehensiveness"].value == pytest.approx(loss, abs=0.01)
    page, text = report.to_html(), report.to_text()
    part = page[page.index("By answer") :]
    assert all(name in part for name in LOSS)
    assert "the marks speak against the answer" in page
    assert "“odd”, it grows more certain without its marked words" in text
    assert re.search(r"by answer\n.*\n *hate .*0\.4[78]", text)
    out = tmp_path / "a.json"
    assert main([str(tmp_path / "a.parquet"), "--json", str(out), "--replicates", "200"]) == 0
    assert capsys.readouterr().err == f"{out}\n"
    [run] = json.loads(out.read_text(encoding="utf-8"))["runs"]
    assert run["verdict"] == verdict(report.parts[0])
    assert run["marks"] == {"hate": "matter", "none": "hardly", "odd": "against"}
    for name in LOSS:
        assert run["classes"][name]["metrics"]["comprehensiveness"]["value"] == classes[name]["comprehensiveness"].value
        assert {"accuracy", "auprc"} <= run["classes"][name]["metrics"].keys()
