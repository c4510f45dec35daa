"""A run's log in the report: curves, the kept epoch, costs; of runs that have ended, were stopped, or are broken."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from report.made_runs import HOSTILE
from unirex.metrics.state import Resampling
from unirex.report import build
from unirex.report.cli import main
from unirex.report.svg import to_svg
from unirex.report.training_figures import summary, training
from unirex.report.training_log import read_log

FAST = Resampling(replicates=0)


def step(number: int, **more: Any) -> dict[str, Any]:
    return {
        "step": number, "epoch": number // 10, "loss": 8.0 / number, "task": 2.0, "my <b>term": 1.0, "lr": 2e-5,
        "steps": 1, "seconds": 2.0, "tokens_per_second": 1500.0, "peak_memory": 2**31, "share/backward": 0.5,
        "share/full": 0.25, **more,
    }  # fmt: skip


def dev(epoch: int, best: float, **more: Any) -> dict[str, Any]:
    return {"event": "dev", "step": 10 * epoch, "epoch": epoch, "headline": best, "best": best, "auprc": 0.5, **more}


def run_with(folder: Path, *lines: Any, tail: str = "") -> Path:
    """A run that has not ended."""
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 3\n")
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + tail)
    return folder


def test_a_stopped_run_is_reported_from_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [step(1), step(10), dev(1, 0.7, judge_seconds=3.0), step(20), dev(2, 0.9), dev(3, 0.8)]
    stop = {"event": "stopped", "step": 30, "cause": "SIGTERM"}
    run = run_with(tmp_path / "cut", *lines, stop, tail='{"step": 40, "lo')
    report = build(run)
    losses, metrics, rate, speed = training(report.trained)
    assert [one.label for one in losses.series] == ["loss", "task", "my <b>term"]
    assert (losses.series[0].x, losses.series[0].y) == ((1, 10, 20), (8, 0.8, 0.4))
    assert [(one.label, one.y) for one in metrics.series if one.kind == "line"] == [
        ("task score", (0.7, 0.9, 0.8)),
        ("AUPRC", (0.5, 0.5, 0.5)),
    ]
    kept = [(one.label, one.x, one.y) for one in metrics.series if one.kind == "point"]
    assert kept == [("task score, kept", (2,), (0.9,)), ("AUPRC, kept", (2,), (0.5,))]
    assert "kept: 2." in metrics.caption
    assert (rate.y.label, rate.series[0].y) == ("learning rate, in 1e-5", pytest.approx((2, 2, 2)))
    assert (speed.y.label, speed.series[0].y) == ("thousand tokens per second", (1.5, 1.5, 1.5))
    said = " ".join(summary(report.trained[0])).replace("\u00a0", " ")
    assert said == (
        "20 steps and 3 evaluations on the dev split; stopped (SIGTERM). Of the steps’ time: gradients 50 %, full "
        "inputs 25 %, other 25 %. Steps took 6 s, evaluations 3 s. Memory: at most 2.0 GiB resident."
    )
    assert main([str(run), "-o", str(tmp_path / "x.html")]) == 0
    page = (tmp_path / "x.html").read_text()
    assert '<h2 id="training-h">Training</h2>' in page
    assert "seed: 3" in page
    assert "<b>term" not in page
    assert page.count('<svg class="figure"') == 4
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))
    assert main([str(run), "--terminal", "--plots", str(tmp_path / "plots"), "--formats", "svg"]) == 0
    assert "Training loss: loss over step. loss: 1: 8.000, 10: 0.800, 20: 0.400." in capsys.readouterr().out
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {"loss", "dev", "learning-rate", "speed"}


def test_a_run_that_has_ended_has_its_curves_below_the_instances(make_run: Callable[..., Path]) -> None:
    report = build(make_run(), resampling=FAST)
    page = report.to_html()
    assert page.index('id="instances"') < page.index('id="training"') < page.index('id="configuration"')
    assert "training of a: 1 step and 2 evaluations on the dev split; the run has ended." in report.to_text()
    [_, metrics] = training(report.trained)
    assert metrics.series[1].x == (2,), "the end says which epoch is kept"


def test_several_runs_are_lines_of_one_figure(tmp_path: Path) -> None:
    runs = [run_with(tmp_path / name, step(1), step(2), dev(1, 0.5)) for name in ("one", "two")]
    losses, metrics, _, _ = training(build(*runs).trained)
    assert [(one.label, one.color, one.marker) for one in losses.series] == [("one", 0, 0), ("two", 1, 1)]
    assert [one.label for one in metrics.series if one.in_legend] == ["one", "two"]


def test_a_run_without_a_log_keeps_its_color_free(make_run: Callable[..., Path]) -> None:
    report = build(make_run() / "reference" / "gold.parquet", make_run(), resampling=FAST)
    assert [one.color for one in training(report.trained)[0].series] == [1]
    assert report.to_html().count('<p class="lead"><svg') >= 1


def test_a_long_log_is_joined_and_told_by_its_ends(tmp_path: Path) -> None:
    run = run_with(tmp_path / "long", *(step(n, loss=float(n % 2)) for n in range(1, 4001)))
    figure = training(build(run).trained)[0]
    loss = figure.series[0]
    assert len(loss.x) == 200
    assert loss.x[-1] == 4000
    assert set(loss.y) == {0.5}, "means of twenty lines"
    assert "loss: first 0.500 at step 20, lowest" in figure.description()
    assert to_svg(figure).count('class="mark ') == 6 * len(figure.series)


def test_lines_again_and_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    lines = [step(3), step(1, loss=9.0), step(1, loss=4.0), dev(2, 0.1), dev(1, 0.2), dev(2, 0.3), dev(3, float("nan"))]
    log = read_log(run_with(tmp_path / "edited", *lines) / "log.jsonl")
    assert [(line["step"], line["loss"]) for line in log.steps] == [(1, 4), (3, 8 / 3)]
    assert log.by_epoch("best") == [(1, 0.2), (2, 0.3)]
    assert log.best_epoch == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "log.jsonl: line 2: not JSON"),
        ("[" * 9999, "log.jsonl: line 2: not JSON (nested"),
        (json.dumps({**step(1), "step": "x"}), "log.jsonl: line 2: step is 'x', expected a whole number of 0 or more"),
        (json.dumps({**step(1), "step": True}), "line 2: step is True, expected a whole number"),
        ('{"step": 1, "loss": null}', "line 2: loss is None, expected a finite number"),
        ('{"step": 1, "loss": NaN}', "line 2: loss is nan, expected a finite number"),
        (f'{{"step": 1, "loss": 1{"0" * 400}}}', "line 2: loss is 1000"),
        (json.dumps(step(1, **{HOSTILE[2]: "x"})), "line 2: \\u001b[31mred"),
    ],
)
def test_a_broken_log_is_one_line(line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with(tmp_path / "run", step(1), tail=f"{line}\n")
    assert main([str(run), "-o", str(tmp_path / "x.html")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "x.html").exists()


def test_what_cannot_be_shown_together_is_refused(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    begun = run_with(tmp_path / "begun", step(1))
    with pytest.raises(ValueError, match=r"begun: the run has not ended, expected only such runs or only others$"):
        build(make_run(), begun, resampling=FAST)
    with pytest.raises(ValueError, match=r"bare: no predictions and no step in its log, expected a run with either$"):
        build(run_with(tmp_path / "bare", dev(1, 0.5)))
