"""The Ray engine gives what one process gives, to the last bit, and the same errors."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Resampling, compare, gain_table, read_runs, score, score_eraser, score_eraser_rows
from unirex.metrics.cluster import RESULTS_PER_CPU, map_on_ray
from unirex.metrics.source import open_source

QUICK = Resampling(replicates=50)


def test_shards_are_all_row_groups_once(tmp_path: Path) -> None:
    for i, n in enumerate((10, 1, 25)):
        pq.write_table(predictions.table(i, n), tmp_path / f"{i}.parquet", row_group_size=4)
    source = open_source(tmp_path)
    expected = [(0, 0), (0, 1), (0, 2), (1, 0), *((2, g) for g in range(7))]
    for most in (1, 2, 3, 100):
        shards = source.shards(most)
        assert [group for shard in shards for group in shard] == expected
        assert len(shards) == min(most, len(expected))
    ids = [x for _, b in source.batches(["id"], shard=shards[3]) for x in b["id"].to_pylist()]
    assert ids == predictions.table(1, 1)["id"].to_pylist()


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    """A slip of the pen must not pass for the default."""
    names = [str(tmp_path / method / "d" / "p.parquet") for method in "ab"]
    for i, name in enumerate(names):
        Path(name).parent.mkdir(parents=True)
        pq.write_table(predictions.table(i, 10), name)
    lines(tmp_path / "r0.jsonl", world(tmp_path))
    engine: Any = "rayy"
    for call in (
        lambda: score(names[0], engine=engine, resampling=QUICK),
        lambda: compare([names[0], names[0]], engine=engine, resampling=QUICK),
        lambda: gain_table(read_runs(f"{tmp_path}/{{method}}/{{data}}/p.parquet"), engine=engine, resampling=QUICK),
        lambda: benchmark(tmp_path, engine),
        lambda: ours(tmp_path, engine),
    ):
        with pytest.raises(ValueError, match=r"^engine is 'rayy', expected one of \['local', 'ray'\]$"):
            call()


def test_a_pipe_is_refused_before_ray_starts(tmp_path: Path) -> None:
    """Its copy is a file of this machine alone."""
    pq.write_table(predictions.table(1, 10), tmp_path / "p.parquet")
    content = (tmp_path / "p.parquet").read_bytes()
    for command in (["score", "-"], ["compare", "-", str(tmp_path / "p.parquet")]):
        code = "import sys; from unirex.metrics.commands.cli import main; sys.exit(main())"
        words = [sys.executable, "-c", code, *command, "--engine", "ray"]
        done = subprocess.run(words, input=content, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (2, b"")
        expected = "standard input: only this process can read it, expected a file for engine ray\n"
        assert done.stderr.decode() == f"unirex-metrics: error: {expected}"


def test_a_cluster_that_does_not_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")

    def slow(**_: Any) -> None:
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", slow)
    pq.write_table(predictions.table(0, 3), tmp_path / "p.parquet")
    said = r"^engine is 'ray', which does not start \(The current node timed out during startup\.\)$"
    with pytest.raises(ValueError, match=said):
        score(tmp_path / "p.parquet", resampling=QUICK, engine="ray")


@pytest.fixture(scope="module")
def cluster() -> object:
    # Otherwise Ray starts its workers by the `uv run` that started pytest, which may build an environment each.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_ray_gives_the_same_report(cluster: object, tmp_path: Path) -> None:
    for i in range(3):
        pq.write_table(predictions.table(i, 40), tmp_path / f"{i}.parquet", row_group_size=7)
    assert repr(score(tmp_path, engine="ray", resampling=QUICK)) == repr(score(tmp_path, resampling=QUICK))


@pytest.mark.slow
def test_ray_names_the_fault(cluster: object, tmp_path: Path) -> None:
    rows = predictions.rows(0, 20)
    rows[13]["scores"] = [float("nan")] * len(rows[13]["scores"])
    pq.write_table(predictions.as_table(rows), tmp_path / "a.parquet", row_group_size=5)
    with pytest.raises(ValueError, match=r"a\.parquet: row id 'row-0-13': scores\[0\] is nan"):
        score(tmp_path, engine="ray")


@pytest.mark.slow
def test_files_by_url_are_scored_on_ray(cluster: object, tmp_path: Path) -> None:
    for i in range(3):
        pq.write_table(predictions.table(i, 20), tmp_path / f"a b {i}.parquet", row_group_size=7)
    expected = [metric.value for metric in score(tmp_path, resampling=QUICK).metrics]
    for url in (tmp_path.as_uri(), f"file://{tmp_path}/*.parquet"):
        found = score(url, engine="ray", resampling=QUICK)
        assert repr([metric.value for metric in found.metrics]) == repr(expected)


@pytest.mark.slow
def test_a_gain_table_on_ray_is_the_same(cluster: object, tmp_path: Path) -> None:
    for i, method in enumerate(("one", "other")):
        (tmp_path / method / "d").mkdir(parents=True)
        pq.write_table(predictions.table(i, 30), tmp_path / method / "d" / "p.parquet", row_group_size=7)
    with pytest.raises(ValueError, match="ids differ"):
        gain_table(read_runs(f"{tmp_path}/{{method}}/{{data}}/p.parquet"), resampling=QUICK, engine="ray")
    pq.write_table(predictions.table(0, 30), tmp_path / "other" / "d" / "p.parquet", row_group_size=30)
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}/p.parquet")
    assert repr(gain_table(runs, resampling=QUICK, engine="ray")) == repr(gain_table(runs, resampling=QUICK))


@pytest.mark.slow
def test_a_comparison_on_ray_is_the_same(cluster: object, tmp_path: Path) -> None:
    for i in range(3):
        rows = predictions.rows(0, 30) if i == 0 else predictions.rows(0, 30)[: 30 - i]
        pq.write_table(predictions.as_table(rows), tmp_path / f"{i}.parquet", row_group_size=7)
    systems = [tmp_path / f"{i}.parquet" for i in range(3)]
    found, expected = (compare(systems, intersect=True, resampling=QUICK, engine=engine) for engine in ("ray", "local"))
    assert found.n_rows == 28
    assert repr(found) == repr(expected)


@pytest.mark.slow
def test_results_come_in_order_and_few_wait(cluster: object, tmp_path: Path) -> None:
    def work(shard: int) -> list[bytes]:
        (tmp_path / str(shard)).touch()
        time.sleep(0.3 if shard == 0 else 0.0)  # the first comes last
        return [bytes([shard])]

    results = map_on_ray(work, range(40))
    assert next(results) == [b"\0"]
    time.sleep(2)
    # Two processors: four at a time, and one more for the one taken.
    assert len(list(tmp_path.iterdir())) <= 2 * RESULTS_PER_CPU + 1
    assert [found for (found,) in results] == [bytes([shard]) for shard in range(1, 40)]


@pytest.mark.slow
def test_nothing_is_begun_after_an_error(cluster: object, tmp_path: Path) -> None:
    def work(shard: int) -> list[bytes]:
        (tmp_path / str(shard)).touch()
        if shard == 1:
            raise ValueError("shard 1 is bad")
        return [b""]

    with pytest.raises(ValueError, match=r"^shard 1 is bad$"):
        list(map_on_ray(work, range(40)))
    time.sleep(2)
    assert len(list(tmp_path.iterdir())) <= 2 * RESULTS_PER_CPU + 1


def world(folder: Path) -> list[dict[str, Any]]:
    """Documents and annotations of nine instances; returns what was predicted for them."""
    docs, annotations, instances = [], [], []
    for i in range(9):
        name, n = f"d{i}", i % 4 + 2
        evidence = {"text": "", "docid": name, "start_token": i % 2, "end_token": n}
        part = {"NEG": 0.1 * i, "POS": 1 - 0.1 * i}
        docs.append({"docid": name, "document": " ".join("w" * n)})
        annotations.append(
            {"annotation_id": name, "query": "", "classification": ("NEG", "POS")[i % 2], "evidences": [[evidence]]}
        )
        sides = {f"{side}_classification_scores": part for side in ("comprehensiveness", "sufficiency")}
        rationale = {
            "docid": name,
            "hard_rationale_predictions": [{"start_token": 0, "end_token": i % 3 + 1 if n > 2 else 1}],
            "soft_rationale_predictions": [(t * t + i) % 5 / 7 for t in range(n)],
        }
        instances.append(
            {
                "annotation_id": name,
                "classification": "POS",
                "classification_scores": {"NEG": 0.3, "POS": 0.7},
                "rationales": [rationale],
                "thresholded_scores": [{"threshold": t, **sides} for t in (0.1, 0.5)],
                **sides,
            }
        )
    lines(folder / "docs.jsonl", docs)
    lines(folder / "test.jsonl", annotations)
    return instances


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def benchmark(folder: Path, engine: Any = "ray") -> Any:
    return score_eraser(folder / "r*.jsonl", folder, "test", aopc_thresholds=(0.1, 0.5), engine=engine)


def ours(folder: Path, engine: Any = "ray") -> Any:
    return score_eraser_rows(folder / "r*.jsonl", folder, "test", resampling=QUICK, engine=engine)


@pytest.mark.slow
def test_eraser_results_give_the_same(cluster: object, tmp_path: Path) -> None:
    instances = world(tmp_path)
    for i, part in enumerate((instances[:1], instances[1:7], instances[7:])):
        lines(tmp_path / f"r{i}.jsonl", part)
    assert repr(ours(tmp_path)) == repr(ours(tmp_path, "local"))
    assert_close(benchmark(tmp_path), benchmark(tmp_path, "local"))


def assert_close(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12) or (
            math.isnan(found) and math.isnan(expected)
        )
    else:
        assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("run", [benchmark, ours])
def test_faults_between_files_are_told(cluster: object, tmp_path: Path, run: Callable[[Path], Any]) -> None:
    instances = world(tmp_path)
    lines(tmp_path / "r0.jsonl", instances[:5])
    lines(tmp_path / "r1.jsonl", instances[4:])
    with pytest.raises(ValueError, match='annotation_id: found "d4" again, expected every instance once'):
        run(tmp_path)
    lines(tmp_path / "r1.jsonl", instances[6:])
    with pytest.raises(ValueError, match='found 1 without an instance in the results, the first is "d5"'):
        run(tmp_path)
    instances[6]["rationales"][0]["soft_rationale_predictions"].pop()
    lines(tmp_path / "r1.jsonl", instances[5:])
    with pytest.raises(ValueError, match=r"r1\.jsonl:2: rationales\[0\]\.soft_rationale_predictions: found 3 scores"):
        run(tmp_path)
