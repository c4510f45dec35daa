"""States merge, whatever the split and the order, to the last bit; intervals are those of a plain bootstrap."""

import io
import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import predictions
from unirex import _rust
from unirex.metrics import Report, Resampling, finish, plan, score
from unirex.metrics.batch import hash_ids


def same(a: Report, b: Report) -> bool:
    return repr(a) == repr(b)


@given(seed=st.integers(0, 1000), parts=st.lists(st.integers(0, 5), min_size=24, max_size=24), backwards=st.booleans())
@settings(max_examples=10, deadline=None)
def test_merged_states_equal_one_state(seed: int, parts: list[int], backwards: bool) -> None:
    table = predictions.table(seed, 24)
    made = plan(table, resampling=Resampling(replicates=50))
    expected = score(table, resampling=Resampling(replicates=50))
    states = [made.state() for _ in range(6)]
    order = range(23, -1, -1) if backwards else range(24)
    for row in order:
        states[parts[row]].update(table.slice(row, 1).to_batches()[0])
    whole = states.pop()
    for state in states:
        whole.merge_bytes(state.to_bytes())
    assert same(finish(made, whole), expected)


def test_many_rows_at_once_and_what_is_refused_leave_what_single_rows_do(monkeypatch: pytest.MonkeyPatch) -> None:
    table = predictions.table(0, 60)
    batch = table.combine_chunks().to_batches()[0]
    made = plan(table, resampling=Resampling(replicates=50))
    whole, cut, again = (made.state() for _ in range(3))
    whole.update(batch)
    monkeypatch.setattr("unirex.metrics.state._AT_ONCE", 7)
    cut.update(batch)
    assert cut.to_bytes() == whole.to_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(_rust, "weighted_sums", refuse)
        with pytest.raises(ValueError, match="refused"):
            again.update(batch)
    again.update(batch)
    assert again.to_bytes() == whole.to_bytes()


def test_a_batch_may_have_more_rows_than_one_call_resamples() -> None:
    rows = 2**18 + 1
    table = pa.table({"id": [*map(str, range(rows))], "label": ["a"] * rows, "prediction": ["a"] * rows})
    state = plan(table, resampling=Resampling(replicates=2)).state()
    state.update(table.combine_chunks().to_batches()[0])
    assert (state.n_rows, state.compute()["accuracy"].n) == (rows, rows)


def test_a_state_of_other_replicates_does_not_merge_from_bytes() -> None:
    table = predictions.table(0, 10)
    few, many = (plan(table, resampling=Resampling(replicates=n)).state() for n in (5, 6))
    with pytest.raises(ValueError, match="the state has replicates 5, expected 6"):
        many.merge_bytes(few.to_bytes())


def test_states_of_different_plans_do_not_merge() -> None:
    table = predictions.table(0, 10)
    strict, unirex = plan(table).state(), plan(table, "paper").state()
    with pytest.raises(ValueError, match="convention 'paper', expected 'strict'"):
        strict.merge(unirex)
    with pytest.raises(ValueError, match="seed 1, expected 0"):
        strict.merge(plan(table, resampling=Resampling(seed=1)).state())


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"resampling": Resampling(replicates=20, seed=4)}, "seed 4, expected 0"),
    ({"resampling": Resampling(replicates=20, confidence=0.9)}, "confidence 0.9, expected 0.95"),
    ({"convention": "paper"}, "convention 'paper', expected 'strict'"),
    ({"iou_thresholds": [0.1]}, r"iou_thresholds \[0.1\], expected \[0.5\]"),
    ({"perturbation": ["delete", "attention"]}, r"perturbations .*delete.*, expected .*attention"),
    ({"labels": ("pos", "neg", "neutral")}, r"labels \['pos', .*, expected \['neg', "),
]


@pytest.mark.parametrize(("other", "message"), SETTINGS)
def test_bytes_of_a_state_with_other_settings_do_not_merge(other: dict[str, Any], message: str) -> None:
    options = {"resampling": Resampling(replicates=20), **other}
    labels = options.pop("labels", ("neg", "pos", "neutral"))
    ours = plan(predictions.table(0, 10), resampling=Resampling(replicates=20)).state()
    theirs = plan(predictions.table(0, 10, labels=labels), **options).state()
    with pytest.raises(ValueError, match=message) as error:
        ours.merge_bytes(theirs.to_bytes())
    assert "\n" not in str(error.value)
    assert ours.n_rows == 0


def test_bytes_without_settings_do_not_merge() -> None:
    state = plan(predictions.table(0, 10), resampling=Resampling(replicates=20)).state()
    with np.load(io.BytesIO(state.to_bytes())) as arrays:
        old = {name: arrays[name] for name in arrays if name != "settings"}
    content = io.BytesIO()
    np.savez(content, **old)
    with pytest.raises(ValueError, match="hold no settings"):
        state.merge_bytes(content.getvalue())
    content = io.BytesIO()
    np.savez(content, **old, settings=np.frombuffer(b'{"version": 9}', dtype=np.uint8))
    with pytest.raises(ValueError, match="version 9, expected 2"):
        state.merge_bytes(content.getvalue())


def with_arrays(content: bytes, **arrays: Any) -> bytes:
    """A state's bytes with other arrays in the place of some."""
    with np.load(io.BytesIO(content)) as old:
        found = {name: old[name] for name in old}
    changed = io.BytesIO()
    np.savez(changed, **(found | arrays))
    return changed.getvalue()


def test_bytes_with_arrays_of_another_form_do_not_merge() -> None:
    state = plan(predictions.table(0, 10), resampling=Resampling(replicates=20)).state()
    state.update(predictions.table(0, 10).to_batches()[0])
    content, before = state.to_bytes(), state.compute()
    with np.load(io.BytesIO(content)) as arrays:
        old = {name: arrays[name] for name in arrays}
    n = len(old["sums"])
    for name in ("counts", "resampled", "odd"):
        for other in (old[name][:-1], old[name].astype(np.float64)):
            with pytest.raises(ValueError, match=rf"the state holds \[.* and {n} sums, expected \[.* and {n}$"):
                state.merge_bytes(with_arrays(content, **{name: other}))
    with pytest.raises(ValueError, match=f" and {n - 1} sums, expected .* and {n}$"):
        state.merge_bytes(with_arrays(content, sums=old["sums"][:-1]))
    hashes = old["hashes"]
    for wrong in (hashes[:, 0], hashes[:, :1], hashes.astype(np.int64)):
        shown = re.escape(f"hashes {wrong.dtype.str} {wrong.shape}, expected <u8 (rows, 2)")
        with pytest.raises(ValueError, match=f"^the state holds {shown}$"):
            state.merge_bytes(with_arrays(content, hashes=wrong))
    assert same(state.compute(), before)


@pytest.mark.parametrize("settings", [3, None, ["replicates"], {}, {"replicates": 20}])
def test_bytes_with_settings_of_another_form_do_not_merge(settings: object) -> None:
    state = plan(predictions.table(0, 10), resampling=Resampling(replicates=20)).state()
    text = json.dumps({"version": 2, "settings": settings}).encode()
    expected = f"the state's settings are {str(settings)!r}, expected the fields ['choice', 'columns', 'confidence', "
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}"):
        state.merge_bytes(with_arrays(state.to_bytes(), settings=np.frombuffer(text, dtype=np.uint8)))


def test_what_looks_wrong_is_counted_over_merged_states() -> None:
    table = predictions.table(3, 40)
    made = plan(table, resampling=Resampling(replicates=0))
    first, second, whole = (made.state() for _ in range(3))
    first.update(table[:15].to_batches()[0])
    second.update(table[15:].to_batches()[0])
    whole.update(table.to_batches()[0])
    first.merge_bytes(second.to_bytes())
    assert first.odd == whole.odd
    assert second.odd["constant"] > 0
    assert finish(made, first).odd == finish(made, whole).odd


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicates": -1}, "replicates is -1, expected 0, or 2 to 100000"),
        ({"replicates": 1}, "replicates is 1, expected 0, or 2 to 100000"),
        ({"replicates": 100_001}, "replicates is 100001, expected 0, or 2 to 100000"),
        ({"seed": -1}, "seed is -1, expected 0 to 2^64 - 1"),
        ({"seed": 2**64}, "seed is 18446744073709551616, expected 0 to 2^64 - 1"),
        ({"confidence": 0.0}, "confidence is 0.0, expected a number between 0 and 1"),
        ({"confidence": 1.0}, "confidence is 1.0, expected a number between 0 and 1"),
    ],
)
def test_numbers_of_the_resampling_have_bounds(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Resampling(**options)
    assert Resampling(replicates=100_000, seed=2**64 - 1, confidence=0.999).swap is False


def test_an_id_in_two_shards_is_found() -> None:
    table = predictions.table(0, 10)
    first, second = plan(table).state(), plan(table).state()
    first.update(table.to_batches()[0])
    second.update(table.slice(4, 1).to_batches()[0])
    first.merge(second)
    with pytest.raises(ValueError, match="occurs twice"):
        first.compute()


def test_intervals_are_those_of_a_bootstrap_with_replacement() -> None:
    rng = np.random.default_rng(0)
    table = predictions.table(21, 400, max_words=6)
    report = score(table, resampling=Resampling(replicates=4000))
    values = np.array([p[0] for p in table["null.attention.self"].to_pylist()])
    assert len(values) == 400
    for name in ("accuracy", "macro_f1", "comprehensiveness", "token_f1", "token_f1_micro"):
        metric = report[name]
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low < metric.value < metric.high
    truth, predicted = np.array(table["label"].to_pylist()), np.array(table["prediction"].to_pylist())
    hits = (truth == predicted)[[t is not None for t in truth]].astype(float)
    plain = np.quantile(rng.choice(hits, (4000, len(hits))).mean(axis=1), [0.025, 0.975])
    accuracy = report["accuracy"]
    assert accuracy.low == pytest.approx(plain[0], abs=0.006)
    assert accuracy.high == pytest.approx(plain[1], abs=0.006)


def test_confidence_and_seed_and_replicates() -> None:
    table = predictions.table(2, 80)
    wide = score(table, resampling=Resampling(confidence=0.99))["token_f1"]
    narrow = score(table, resampling=Resampling(confidence=0.5))["token_f1"]
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low
    assert wide.value == narrow.value
    assert score(table, resampling=Resampling(seed=1))["token_f1"].low != score(table)["token_f1"].low
    assert score(table, resampling=Resampling(replicates=0))["token_f1"].low is None


def test_one_row_says_little_and_no_row_nothing() -> None:
    rows = predictions.rows(0, 40)[:1]
    rows[0] |= {"label": "pos", "gold": None}
    report = score(predictions.as_table(rows))
    accuracy = report["accuracy"]
    assert accuracy.value in (0, 1)
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0.7 < accuracy.high - accuracy.low < 0.9
    assert (report["rationale_length"].low, report["rationale_length"].interval) == (None, None)
    assert report["auprc"].low is None
    assert np.isnan(report["auprc"].value)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_a_weight(threads: int) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2**63, 2 * 500).astype(np.uint64)
    values = rng.normal(size=3 * 500)
    values[rng.random(1500) < 0.1] = np.nan
    steps = np.full(3, 2.0**-20)
    sums, counts = _rust.weighted_sums(rows, values, steps, replicates=300, seed=5)
    again = _rust.weighted_sums(rows, values, steps, replicates=300, seed=5, threads=threads)
    assert (sums == again[0]).all()
    assert (counts == again[1]).all()
    few = _rust.weighted_sums(rows, values, steps, replicates=7, seed=5)[0]
    assert (sums.reshape(3, 300)[:, :7] == few.reshape(3, 7)).all()


def test_exact_sums_are_those_of_fractions() -> None:
    from fractions import Fraction

    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-9, 9, 1000)
    (total,), (n,) = _rust.column_sums(values, 1)
    exact = sum((Fraction(float(v)) for v in values), Fraction(0))
    assert n == 1000
    assert abs(Fraction(total, 2**64) - exact) < Fraction(1, 2**50)


def test_hashes_are_fnv_1a_of_utf8_and_respect_slices() -> None:
    ids = pa.array(["skipped", "", "a", "é"])[1:]

    def fnv(text: str) -> int:
        found = 0x6C62272E07BB014262B821756295C58D
        for byte in text.encode():
            found = (found ^ byte) * 0x0000000001000000000000000000013B % 2**128
        return found

    high_low = hash_ids(ids)
    assert [int(h) << 64 | int(low) for h, low in high_low] == [fnv(""), fnv("a"), fnv("é")]
    for kind in (pa.large_string(), pa.large_binary()):  # of which no cast makes a copy
        assert (hash_ids(pa.array(["skipped", "", "a", "é"], pa.string()).cast(kind)[1:]) == high_low).all()
