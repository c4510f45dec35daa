"""The Ray engine gives what one process gives, to the last bit, and the same errors."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Resampling, score
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
