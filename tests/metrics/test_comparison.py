"""Comparison of systems: p-values against all swaps, intervals against a plain paired bootstrap."""

import itertools
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from reference.metrics import metrics as slow_metrics
from reference.metrics import row_metrics
from unirex.metrics import Resampling, compare, score
from unirex.metrics.commands.cli import main
from unirex.metrics.comparison import FAMILY, holm

LABELS = ["neg", "pos", "neutral"]
MEASURES = ("scores", "rationale", "prediction", "probabilities", "keep.attention.self", "remove.attention.self")


def pair(seed: int, n: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two systems on the same instances: same ids, labels, words and gold."""
    first = predictions.rows(seed, n, hows=("attention",))
    other = predictions.rows(seed, n, hows=("attention",))
    rng = np.random.default_rng(seed)
    for row in other:
        row["scores"] = [None if s is None else float(np.round(rng.normal())) for s in row["scores"]]
        row["rationale"] = [s is not None and bool(rng.random() < 0.3) for s in row["scores"]]
        row["prediction"] = str(rng.choice(LABELS))
        # The highest probability goes to that class.
        p, at = row["probabilities"], LABELS.index(row["prediction"])
        best = p.index(max(p))
        p[at], p[best] = p[best], p[at]
    return first, other


def tables(seed: int, n: int) -> tuple[pa.Table, pa.Table]:
    first, other = pair(seed, n)
    return predictions.as_table(first, hows=("attention",)), predictions.as_table(other, hows=("attention",))


@pytest.mark.parametrize("seed", [1, 2])
def test_p_values_are_those_of_all_swaps(seed: int) -> None:
    n = 9
    first, other = pair(seed, n)
    names = ["accuracy", "macro_f1", "comprehensiveness", "auprc", "token_precision", "token_f1_micro"]
    found = compare(tables(seed, n), metrics=names, resampling=Resampling(replicates=20_000, seed=seed)).differences[0]
    needed = [slow_metrics(rows, LABELS, ["attention"]) for rows in (first, other)]
    for rows in (first, other):
        for row, values in zip(rows, per_row(rows), strict=True):
            row["values"] = values
    far: dict[str, list[float]] = {name: [] for name in names}
    for swaps in itertools.product([False, True], repeat=n):
        a = [o if s else f for f, o, s in zip(first, other, swaps, strict=True)]
        b = [f if s else o for f, o, s in zip(first, other, swaps, strict=True)]
        one, two = fast(a), fast(b)
        for name in names:
            far[name].append(one[name] - two[name])
    for row in found:
        expected = needed[0][row.metric] - needed[1][row.metric]
        assert row.difference == pytest.approx(expected, abs=1e-12)
        drawn = np.abs(far[row.metric])
        p = np.mean((drawn >= abs(expected) - 1e-9) | np.isnan(drawn))
        assert row.p == pytest.approx(p, abs=0.015), row.metric


def per_row(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    return [row_metrics(row, LABELS, ["attention"], "strict", [0.5]) for row in rows]


def fast(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The six metrics of the test above, from row values found before."""
    values = [row["values"] for row in rows]
    out = {}
    for name in ("accuracy", "comprehensiveness", "auprc", "token_precision"):
        column = [v[name] for v in values if not np.isnan(v[name])]
        out[name] = float(np.mean(column)) if column else float("nan")
    known = [r for r in rows if r["label"] is not None]
    f1s = []
    for label in LABELS:
        hit = sum(r["label"] == r["prediction"] == label for r in known)
        both = sum((r["label"] == label) + (r["prediction"] == label) for r in known)
        f1s += [2 * hit / both] if both else []
    out["macro_f1"] = float(np.mean(f1s))
    with_gold = [r for r in rows if r["gold"] is not None]
    hit = sum(g > 0.5 and c for r in with_gold for g, c in zip(r["gold"], r["rationale"], strict=True))
    total = sum((g > 0.5) + c for r in with_gold for g, c in zip(r["gold"], r["rationale"], strict=True))
    out["token_f1_micro"] = 2 * hit / total if total else float("nan")
    return out


def test_the_interval_is_that_of_a_paired_bootstrap() -> None:
    first, other = pair(5, 100)
    row = compare(tables(5, 100), metrics=["comprehensiveness"], resampling=Resampling(replicates=4000)).differences[0][
        0
    ]
    a, b = ([values["comprehensiveness"] for values in per_row(rows)] for rows in (first, other))
    gaps = np.array(a) - np.array(b)
    plain = np.quantile(np.random.default_rng(0).choice(gaps, (4000, 100)).mean(axis=1), [0.025, 0.975])
    assert row.low == pytest.approx(plain[0], abs=0.01)
    assert row.high == pytest.approx(plain[1], abs=0.01)


def test_a_system_against_itself_differs_in_nothing() -> None:
    table = predictions.table(3, 40)
    found = compare([table, table, table], metrics=["macro_f1", "auprc"], resampling=Resampling(replicates=200))
    assert len(found.differences) == 2
    for task, words in found.differences:
        assert (task.difference, task.p, task.p_holm) == (words.difference, words.p, words.p_holm) == (0, 1, 1)
        assert (task.low, task.high, task.interval) == (0, 0, "one_model")
        assert words.low is not None
        assert words.low == pytest.approx(-words.high)  # type: ignore[operator]
        assert -0.5 < words.low < 0


def test_a_clearly_better_system_is_called_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tables(7, 60)
    gold = [g if g is None else [x > 0.5 for x in g] for g in good["gold"].to_pylist()]
    seen = [[score is not None for score in row] for row in good["scores"].to_pylist()]
    perfect = [
        [False] * len(row) if marks is None else [mark and there for mark, there in zip(marks, row, strict=True)]
        for marks, row in zip(gold, seen, strict=True)
    ]
    column = good.schema.names.index("rationale")
    pq.write_table(good.set_column(column, "rationale", pa.array(perfect)), tmp_path / "good.parquet")
    pq.write_table(bad, tmp_path / "bad.parquet")
    names = [str(tmp_path / name) for name in ("good.parquet", "bad.parquet")]
    assert main(["compare", *names, "--metrics", "token_f1", "--metrics", "auprc"]) == 0
    out = capsys.readouterr().out
    assert "60 instances" in out
    assert next(line for line in out.splitlines() if line.startswith("token_f1")).endswith("better")
    assert main(["compare", *names[::-1], "--metrics", "token_f1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    row = found["pairs"][0]["metrics"][0]
    assert row["difference"] < 0
    assert row["p"] == row["p_holm"] < 0.001


def test_order_of_rows_does_not_matter() -> None:
    first, other = tables(9, 50)
    shuffled = other.take(pa.array(np.random.default_rng(0).permutation(50)))
    setting = Resampling(replicates=300)
    assert repr(compare([first, other], resampling=setting)) == repr(compare([first, shuffled], resampling=setting))


def test_different_ids_are_an_error_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = predictions.table(0, 30)
    pq.write_table(table.slice(0, 25), tmp_path / "a.parquet")
    pq.write_table(table.slice(7), tmp_path / "b.parquet")
    names = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    assert main(["compare", *names]) == 2
    err = capsys.readouterr().err
    assert "7 ids only in" in err
    assert "5 ids only in" in err
    assert "'row-0-1'" in err
    assert err.count("\n") == 1
    assert main(["compare", *names, "--intersect"]) == 0
    assert "18 instances (left out: 7 of a.parquet, 5 of b.parquet)" in capsys.readouterr().out
    found = compare([Path(name) for name in names], intersect=True, resampling=Resampling(replicates=10))
    middle = score(table.slice(7, 18), resampling=Resampling(replicates=0))
    assert found.reports[1]["auprc"].value == middle["auprc"].value
    with pytest.raises(ValueError, match="no id in common"):
        compare([table.slice(0, 5), table.slice(5)], intersect=True)


def test_odd_rows_among_those_that_all_have_are_noted() -> None:
    scores = [[0.5, 0.5], [0.5, 0.5], [0.1, 0.2], [0.3, 0.2]]
    table = pa.table({"id": list("abcd"), "scores": scores, "gold": [[1.0, 0.0]] * 4})
    found = compare([table[:3], table[1:]], intersect=True, resampling=Resampling(replicates=5))
    odd = ("1 of 2 rows: all words have the same score",)
    assert [report.odd for report in found.reports] == [odd, odd]


def test_at_most_five_ids_are_named() -> None:
    table = predictions.table(0, 14)
    for only, end in ((5, ""), (7, ", …")):
        parts = [table[:3], table[3:only]] if only > 5 else [table[:5]]
        with pytest.raises(ValueError, match="different ids") as error:
            compare([pa.concat_tables([*parts, table[8:]]), table[8:]])
        names = ["row-0-0-é", *(f"row-0-{i}" for i in range(1, 5))]
        assert f"({only} ids only in table: {', '.join(map(repr, names))}{end})" in str(error.value)


def test_metrics_that_one_system_lacks_are_no_common_ones() -> None:
    whole = predictions.table(0, 20, headline="accuracy")
    bare = whole.drop_columns(["gold"])
    quick = Resampling(replicates=5)
    for systems in ([whole, bare], [bare, whole]):
        with pytest.raises(ValueError, match="metrics has 'auprc', expected metrics that all systems have"):
            compare(systems, metrics=["auprc"], resampling=quick)
        [rows] = compare(systems, metrics=["headline", "rationale_share"], resampling=quick).differences
        assert [row.metric for row in rows] == ["accuracy", "rationale_share"]
    [rows] = compare([whole, whole], resampling=quick).differences
    assert [row.metric for row in rows] == ["accuracy", *FAMILY, "iou_f1@0.5"]
    [rows] = compare([whole, whole], resampling=quick, iou_thresholds=[0.25, 0.75]).differences
    assert [row.metric for row in rows][-2:] == ["iou_f1@0.25", "iou_f1@0.75"]
    plain = whole.replace_schema_metadata(None)
    with pytest.raises(ValueError, match="no metric in common"):
        compare(
            [plain.select(["id", "label", "prediction"]), plain.select(["id", "scores", "gold"])],
            resampling=quick,
        )


def test_a_pipe_is_compared_with_a_file(tmp_path: Path) -> None:
    pq.write_table(predictions.table(0, 20), tmp_path / "p.parquet")
    os.mkfifo(tmp_path / "pipe")
    content = (tmp_path / "p.parquet").read_bytes()
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content), daemon=True).start()
    found = compare([tmp_path / "p.parquet", tmp_path / "pipe"], metrics=["auprc"], resampling=Resampling(replicates=5))
    assert found.differences[0][0].difference == 0


def test_progress_runs_once_over_all_rows_of_both_passes() -> None:
    table, told = predictions.table(0, 20), list[tuple[int, int]]()
    compare([table, table], resampling=Resampling(replicates=5), progress=lambda *at: told.append(at))
    assert told == [(20, 80), (40, 80), (60, 80), (80, 80)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["auprcc"]}, "did you mean auprc"),
        ({"resampling": Resampling(replicates=0)}, "replicates is 0, expected 2 to"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    table = predictions.table(0, 5)
    with pytest.raises(ValueError, match=message):
        compare([table, table], **options)


def test_systems_must_be_comparable() -> None:
    table = predictions.table(0, 5)
    with pytest.raises(ValueError, match="at least 2"):
        compare([table])
    with pytest.raises(ValueError, match=r"labels .* differ from those of"):
        compare([table, predictions.table(0, 5, labels=("neg", "pos"))])
    other = predictions.table(0, 5, headline="accuracy")
    for names in (None, ["auprc", "headline"]):
        with pytest.raises(
            ValueError, match=r"the task score is accuracy, that of table macro_f1, expected .*--metrics"
        ):
            compare([table, other], metrics=names)
    quick = Resampling(replicates=5)
    [rows] = compare([table, other], metrics=["auprc", "macro_f1"], resampling=quick).differences
    assert [(row.metric, row.difference) for row in rows] == [("macro_f1", 0), ("auprc", 0)]


def test_seeds_of_one_model_are_paired_in_whatever_order_they_are_listed() -> None:
    def seeds(start: int, order: list[int]) -> dict[str, pa.Table]:
        found = {}
        for i in order:
            rows = predictions.rows(1, 30)
            draw = np.random.default_rng(start + i)
            for row in rows:
                row |= {"model": f"m{i}", "scores": [None if s is None else draw.random() for s in row["scores"]]}
            found[str(i)] = predictions.as_table(rows)
        return found

    def found(order: list[int]) -> Any:
        systems = [seeds(10, [0, 1, 2]), seeds(20, order)]
        [[row]] = compare(systems, metrics=["auprc"], resampling=Resampling(replicates=50)).differences
        assert row.test == "paired t"
        return row.difference, row.low, row.high, row.p

    first = pytest.approx(found([0, 1, 2]))
    assert found([2, 0, 1]) == first
    assert found([1, 0, 2]) == first


def edited(table: pa.Table, at: int, **values: Any) -> pa.Table:
    rows = table.to_pylist()
    rows[at] |= values
    return predictions.as_table(rows, hows=("attention",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "other"}, r"b\.parquet: row id 'row-3-3': label is '\w+', expected (null|'\w+') as in .*a\.parquet"),
        ({"gold": None}, r"b\.parquet: row id 'row-3-3': gold is null, expected a list of \d+ as in"),
        ({"gold": "flipped"}, r"b\.parquet: row id 'row-3-3': gold\[\d+\] is [01]\.\d+, expected [01]\.\d+ as in"),
        ({"words": "one more"}, r"b\.parquet: row id 'row-3-3': number of words is \d+, expected \d+ as in"),
    ],
)
def test_systems_that_say_other_things_about_an_instance_are_refused(
    values: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = tables(3, 12)
    row = other.slice(3, 1).to_pylist()[0]
    assert row["gold"]
    if values.get("label"):
        values = {"label": "pos" if row["label"] == "neg" else "neg"}
    elif values.get("gold"):
        values = {"gold": [1.0 if g <= 0.5 else 0.0 for g in row["gold"]], "gold_cut": 0}
    elif values.get("words"):
        values = {name: [*row[name], row[name][-1]] for name in ("words", "scores", "rationale", "gold")}
    names = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    pq.write_table(first, names[0])
    pq.write_table(other, names[1])
    assert main(["compare", *names, "--replicates", "10"]) == 0
    capsys.readouterr()
    # The position in the file is another one, and so is the batch.
    moved = edited(other, 3, **values)
    pq.write_table(moved.take(pa.array([*range(4, 12), *range(4)])), names[1])
    assert main(["compare", *names, "--replicates", "10"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(message, err), err


def test_a_metric_is_compared_on_the_rows_that_both_define(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first, other = tables(3, 60)
    name = "normalised_comprehensiveness"
    found = compare([first, other], metrics=[name], resampling=Resampling(replicates=50))
    [row] = found.differences[0]
    a, b = (np.array([values[name] for values in per_row(table.to_pylist())]) for table in (first, other))
    both = ~np.isnan(a) & ~np.isnan(b)
    one = np.isnan(a) ^ np.isnan(b)
    assert one.any()
    assert both.any()
    assert (row.n, row.n_partly) == (both.sum(), one.sum())
    assert row.difference == pytest.approx((a - b)[both].mean(), abs=1e-12)
    assert found.reports[0][name].value == pytest.approx(a[both].mean(), abs=1e-12)
    names = [str(tmp_path / x) for x in ("a.parquet", "b.parquet")]
    pq.write_table(first, names[0])
    pq.write_table(other, names[1])
    assert main(["compare", *names, "--metrics", name]) == 0
    out = capsys.readouterr().out
    assert f"{both.sum()} ({one.sum()} out)" in out
    assert "where all define it" in out
    assert "fewer than 100 rows" in out


def test_neither_the_order_of_columns_nor_further_ones_change_a_comparison() -> None:
    """Some rows are undefined in one system's later columns: which ones must not depend on where a column stands."""
    draw, n = np.random.default_rng(5), 60

    def system(ways: tuple[str, ...], values: dict[str, Any], *, orders: bool = False) -> pa.Table:
        columns = {"id": [f"r{i}" for i in range(n)], "prediction": ["a"] * n, "probabilities": [[0.9, 0.1]] * n}
        columns |= {"fractions": [[0.1]] * n}
        for way in ways:
            columns |= {f"remove.{way}.self": values[way], f"null.{way}.self": values[f"null {way}"]}
            columns |= {f"orders.{way}.self": [[0.4, 0.6, 0.3, 0.7]] * n} if orders else {}
        return pa.table(columns)

    def drawn(*, full: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for way in ("attention", "delete", "mask_token"):
            rows = [[[p, 1 - p]] for p in draw.uniform(0.1, 0.9, n).tolist()]
            known = full or way != "mask_token"
            found[way] = [row if known or i % 2 else None for i, row in enumerate(rows)]
            flat = way == "delete"  # without all words half of the answers stay: no normalised value
            found[f"null {way}"] = [[0.95, 0.05] if flat and i % 2 else [0.1, 0.9] for i in range(n)]
        return found

    one, other, ways = drawn(full=False), drawn(full=True), ("attention", "delete", "mask_token")
    names = [
        "decision_flip",
        *(f"{m}[{w}]" for m in ("comprehensiveness", "normalised_comprehensiveness") for w in ways[1:]),
    ]
    first = system(ways, one)
    seconds = [
        system(ways, other),
        system(("attention", "mask_token", "delete"), other),
        system(ways, other, orders=True),
    ]
    found = [
        compare([first, second], metrics=names, labels=["a", "b"], resampling=Resampling(replicates=50))
        for second in seconds
    ]
    for comparison in found[1:]:
        assert comparison.differences == found[0].differences
    counts = {one.metric: (one.n, one.n_partly) for one in found[0].differences[0]}
    assert counts["comprehensiveness[delete]"] == (60, 0)
    assert counts["comprehensiveness[mask_token]"] == (30, 30)
    assert counts["normalised_comprehensiveness[delete]"] == (30, 0)


def test_several_seeds_widen_interval_and_p_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = tables(3, 80)
    names = []
    for system, shift in (("a", 0.0), ("b", 0.02)):
        for seed in range(3):
            rows = first.to_pylist()
            rng = np.random.default_rng([seed, ord(system)])
            for row in rows:
                kept = [min(1.0, max(0.0, p + shift + 0.1 * (seed - 1) + rng.normal(0, 0.01))) for p in [0.5] * 5]
                row["remove.attention.self"] = [[p, (1 - p) / 2, (1 - p) / 2] for p in kept]
                row["prediction"], row["probabilities"] = "neg", [0.8, 0.1, 0.1]
            path = tmp_path / system / str(seed) / "p.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(predictions.as_table(rows, hows=("attention",)), path)
        names.append(str(tmp_path / system / "{seed}" / "p.parquet"))
    metric = ["comprehensiveness"]
    quick = Resampling(replicates=200)
    [one] = compare([n.replace("{seed}", "1") for n in names], metrics=metric, resampling=quick).differences[0]
    found = compare(names, metrics=metric, resampling=quick)
    [row] = found.differences[0]
    assert found.seeds == (3, 3)
    assert (one.interval, one.test) == ("wilson_t", "randomization")
    assert (row.interval, row.test) == ("seeds_wilson_t", "t")
    assert row.difference == pytest.approx(one.difference, abs=0.01)
    assert one.low is not None
    assert row.low is not None
    assert one.p < 0.01
    assert one.low > 0.01
    # Seeds differ by .1 and the systems by .02.
    assert row.p > 0.5
    assert row.low < -0.1
    # What moves both systems is no part of their difference where each seed is one model; the files say which.
    for models, close in ((("m0", "m1", "m2"), True), (("m0", "m1", "m0"), False)):
        for name in names:
            for seed, model in enumerate(models):
                table = pq.read_table(name.replace("{seed}", str(seed)))
                table = table.drop(["model"]) if "model" in table.column_names else table
                pq.write_table(table.append_column("model", [[model] * len(table)]), name.replace("{seed}", str(seed)))
        whole = compare(names, metrics=metric, resampling=quick)
        [again] = whole.differences[0]
        assert again.test == ("paired t" if close else "t")
        assert ("seeds, paired where each is one model of both" in whole.to_text()) is close
        assert again.difference == pytest.approx(row.difference, abs=1e-12)
        assert again.low is not None
        assert (again.p < 0.05, again.low > 0.005) == (close, close)
    by_name = compare([{"x": names[0].replace("{seed}", "0")}, names[1]], metrics=metric, resampling=quick)
    assert by_name.seeds == (1, 3)
    assert "one seed stands behind" in by_name.notes[-1]
    assert main(["compare", *names, "--metrics", *metric]) == 0
    out = capsys.readouterr().out
    assert "seeds: 3 of" in out
    assert "t test over rows and seeds" in out
    assert main(["compare", names[0], str(tmp_path / "{sed}" / "{seed}")]) == 2
    assert "placeholder {sed}, expected {seed}" in capsys.readouterr().err


def test_rounding_is_no_difference() -> None:
    """Systems that are equal on every row, but for the last bit: no test may call one the better."""
    n = 40
    rows = {"id": [str(i) for i in range(n)], "prediction": ["a"] * n, "label": ["a"] * n, "fractions": [[0.5]] * n}

    def system(removed: float) -> pa.Table:
        columns = {"probabilities": [[0.75, 0.25]] * n, "remove.attention.self": [[[removed, 1 - removed]]] * n}
        return pa.table({**rows, **columns})

    seeds = [{str(s): system(0.5 + s * 1e-15) for s in places} for places in ((0, 1, 2), (5, 7, 9))]
    options = {"metrics": ["comprehensiveness"], "labels": ["a", "b"], "resampling": Resampling(replicates=50)}
    found = compare(seeds, **options)  # type: ignore[arg-type]
    [row] = found.differences[0]
    assert 0 < abs(row.difference) < 1e-13
    assert row.p == 1.0
    assert row.low is not None
    assert row.low < -0.01


def test_two_seeds_are_said_for_any_confidence() -> None:
    first, other = tables(3, 120)
    quick = Resampling(replicates=50, confidence=0.8)
    found = compare([{"0": first, "1": first}, {"0": other, "1": other}], metrics=["auprc"], resampling=quick)
    assert found.notes[-1] == (
        "note: two seeds stand behind some of the numbers: at 95 % their intervals hold the truth in 90 % only"
    )


def test_holm_by_hand() -> None:
    assert holm([0.01, float("nan"), 0.02, 0.9, 0.02]) == pytest.approx(
        [0.04, float("nan"), 0.06, 0.9, 0.06], nan_ok=True
    )
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
