"""Metrics of other installed packages: found by their entry points, scored like ours, and told apart when broken."""

import importlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex import plugins
from unirex.metrics import Family, Report, Resampling, compare, finish, plan, score
from unirex.metrics.families import FAMILIES, families, family_of

NO_DRAWS = Resampling(replicates=0)
SOURCE = """
import numpy as np
from unirex.metrics import Family

brevity = Family(
    name="brevity",
    group="rationale",
    direction="higher",
    meaning="one over the number of words selected",
    needs=frozenset({"rationale"}),
    values=lambda rows: 1 / np.where(rows.rationale_length == 0, np.nan, rows.rationale_length),
)
halved = Family(
    name="halved",
    group="faithfulness",
    direction="lower",
    meaning="half of p without the rationale",
    needs=frozenset({"remove"}),
    values=lambda rows: rows.p_remove / 2,
    per="fraction",
)
wide = Family(
    name="wide", group="rationale", direction="none", meaning="", needs=frozenset({"scores"}),
    values=lambda rows: np.zeros((len(rows), 2)),
)
auprc = Family(name="auprc", group="task", direction="none", meaning="", values=lambda rows: np.zeros(len(rows)))
number = 3
"""
Install = Callable[..., None]


def forget() -> None:
    plugins._entry_points_on.cache_clear()
    families.cache_clear()
    sys.modules.pop("of_others", None)
    importlib.invalidate_caches()


def put(folder: Path, *points: str) -> None:
    """A package `others` with these entry points, as an installer leaves it."""
    (folder / "of_others.py").write_text(SOURCE)
    about = folder / "others-1.0.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[unirex.metrics]\n" + "".join(f"{point}\n" for point in points))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def made(*points: str) -> None:
        put(tmp_path, *points)
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    yield made
    monkeypatch.undo()
    forget()


def values(report: Report) -> dict[str, str]:
    return {metric.name: repr(metric) for metric in report.metrics}


def test_a_metric_of_another_package_is_scored_beside_ours(install: Install) -> None:
    table, rows = predictions.table(3, 40), predictions.rows(3, 40)
    before = values(score(table))
    install("halved = of_others:halved", "brevity = of_others:brevity")
    report = score(table)
    found = values(report)
    assert found.items() > before.items()
    ends = ("", *(f"@{f:g}" for f in rows[0]["fractions"]))
    new = {"brevity", *(f"halved{end}{how}" for end in ends for how in ("", "[delete]"))}
    assert found.keys() - before.keys() == new
    lengths = [sum(row["rationale"]) for row in rows if sum(row["rationale"])]
    assert report["brevity"].value == pytest.approx(np.mean([1 / n for n in lengths]))
    assert (report["brevity"].n, report["brevity"].direction) == (len(lengths), "higher")
    assert report["brevity"].interval == "wilson_t"
    at = rows[0]["fractions"].index(0.1)
    removed = [row["remove.attention.self"][at][["neg", "pos", "neutral"].index(row["prediction"])] for row in rows]
    assert report["halved@0.1"].value == pytest.approx(np.mean(removed) / 2)
    assert [m.group for m in report.metrics] == sorted((m.group for m in report.metrics), key=GROUP_ORDER.index)
    family = family_of("halved@0.1[delete]")
    assert isinstance(family, Family)
    assert family.name == "halved"
    [row] = compare([table, table], metrics=["brevity"], resampling=Resampling(replicates=20)).differences[0]
    assert row.difference == 0


GROUP_ORDER = ("task", "faithfulness", "plausibility", "rationale")


def test_it_needs_its_columns_as_ours_do(install: Install) -> None:
    install("halved = of_others:halved", "brevity = of_others:brevity")
    table = predictions.table(3, 10)
    kept = [n for n in table.column_names if n != "rationale" and "remove" not in n]
    found = values(score(table.select(kept).replace_schema_metadata(None), labels=["neg", "pos", "neutral"]))
    assert "sufficiency" in found
    assert not {"brevity", "halved"} & found.keys()


def test_states_with_and_without_it_do_not_merge(install: Install) -> None:
    table = predictions.table(3, 10)
    without = plan(table, resampling=NO_DRAWS).state()
    content = without.to_bytes()
    install("brevity = of_others:brevity")
    made = pickle.loads(pickle.dumps(plan(table, resampling=NO_DRAWS)))
    state = made.state()
    state.update(table.to_batches()[0])
    assert finish(made, state)["brevity"].value > 0
    with pytest.raises(ValueError, match=r"other columns \(\['brevity'\]\), expected the same metrics"):
        state.merge_bytes(content)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (
            "brevity = of_others:gone",
            r"metric 'brevity': .*others 1.0 .*of_others:gone.* be imported \(AttributeError: ",
        ),
        ("brevity = of_nobody:brevity", r"metric 'brevity': .* cannot be imported \(ModuleNotFound"),
        ("number = of_others:number", "metric 'number': .* holds a int, expected a unirex.metrics.Family"),
        ("short = of_others:brevity", "metric 'short' of an installed package is called 'brevity', expected 'short'"),
        ("auprc = of_others:auprc", "metric 'auprc' is part of unirex, and the package others 1.0 claims it too"),
        ("wide = of_others:wide", r"metric 'wide' gives an array of shape \(5, 2\), expected \(5,\)"),
    ],
)
def test_a_broken_one_is_a_line(install: Install, point: str, message: str) -> None:
    install(point)
    with pytest.raises(ValueError, match=message) as error:
        score(predictions.table(0, 5), resampling=NO_DRAWS)
    assert "\n" not in str(error.value)


def test_the_command_scores_it_and_ends_in_a_line_where_it_is_broken(tmp_path: Path) -> None:
    pq.write_table(predictions.table(1, 10), tmp_path / "predictions.parquet")
    put(tmp_path, "brevity = of_others:brevity")
    options = [str(tmp_path / "predictions.parquet"), "--replicates", "0", "--json"]

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unirex.metrics.commands.cli", "score", *options]
        return subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 0, done.stderr
    assert "brevity" in [metric["name"] for metric in json.loads(done.stdout)["metrics"]]
    put(tmp_path, "brevity = of_others:gone")
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "of_others:gone" in done.stderr


def test_without_any_the_look_imports_nothing_and_is_taken_once() -> None:
    forget()
    before = set(sys.modules)
    assert families() == FAMILIES
    assert set(sys.modules) == before
    assert families() is families()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a@b"}, "the metric's name is 'a@b'"),
        ({"group": "other"}, "metric 'made' is in group 'other', expected one of"),
        ({"values": None}, r"metric 'made' has \[\], expected one of values, pooled and mean_of"),
        ({"mean_of": "f1"}, r"metric 'made' has \['values', 'mean_of'\], expected one of"),
        ({"per": "fraction"}, r"metric 'made' needs \['scores'\], expected some of \['cuts', 'gold', 'keep', "),
        ({"needs": frozenset({"remove"})}, r"metric 'made' needs \['remove'\], expected some of \['cuts', 'gold', 'l"),
        ({"per": "fraction", "values": None, "mean_of": "f1"}, r"metric 'made' has \['mean_of'\], expected values"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    row = {"name": "made", "group": "rationale", "direction": "none", "meaning": "", "needs": frozenset({"scores"})}
    made = {**row, "values": lambda rows: np.zeros(len(rows)), **change}
    with pytest.raises(ValueError, match=f"^{message}"):
        Family(**made)  # type: ignore[arg-type]
