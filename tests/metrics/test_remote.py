"""Files named by a URL, read through fsspec."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Resampling, read_runs, score
from unirex.metrics.source import open_source

QUICK = Resampling(replicates=20)


@pytest.fixture
def memory() -> Iterator[Any]:
    store = pytest.importorskip("fsspec", reason="fsspec is not installed").filesystem("memory")
    yield store
    store.store.clear()


def values(system: Any) -> str:
    return repr([(metric.name, metric.value, metric.low) for metric in score(system, resampling=QUICK).metrics])


def test_parquet_of_a_store(memory: Any, tmp_path: Path) -> None:
    for i in range(3):
        pq.write_table(predictions.table(i, 15), tmp_path / f"{i}.parquet", row_group_size=4)
        memory.pipe(f"/run/{i}.parquet", (tmp_path / f"{i}.parquet").read_bytes())
    expected = values(tmp_path)
    assert values("memory://run") == expected
    assert values("memory://run/*.parquet") == expected
    assert values([f"memory://run/{i}.parquet" for i in range(3)]) == expected
    source = open_source("memory://run/1.parquet")
    assert (source.name, source.n_rows()) == ("memory:///run/1.parquet", 15)
    assert len(source.shards(100)) == 4


def test_json_lines_of_a_store(memory: Any) -> None:
    rows = [{"id": "a", "scores": [0.9, 0.1], "gold": [1, 0]}, {"id": "b", "scores": [0.0, 0.2], "gold": [1, 0]}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    memory.pipe("/x/a.jsonl", content)
    memory.pipe("/x/a.jsonl.gz", gzip.compress(content))
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert score(f"memory://x/{name}", resampling=QUICK)["auprc"].value == 0.625


def test_faults_name_the_url(memory: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"^memory://no/such\.parquet: no such file$"):
        score("memory://no/such.parquet")
    memory.pipe("/x/bad.parquet", b"nonsense")
    with pytest.raises(ValueError, match=r"^memory:///x/bad\.parquet: not a readable file of predictions"):
        score("memory://x/bad.parquet")
    with pytest.raises(ValueError, match=r"^nosuch://a/b: needs fsspec and its package"):
        score("nosuch://a/b")


def test_a_file_url_is_its_path(tmp_path: Path) -> None:
    pq.write_table(predictions.table(0, 15), tmp_path / "a b.parquet")
    assert values((tmp_path / "a b.parquet").as_uri()) == values(tmp_path / "a b.parquet")
    with pytest.raises(FileNotFoundError, match="no such file"):
        score("file:///no/such/file.parquet")


def test_a_listing_may_name_urls(tmp_path: Path) -> None:
    (tmp_path / "runs.yaml").write_text("- {method: m, data: d, path: 's3://bucket/p.parquet'}\n")
    [run] = read_runs(str(tmp_path / "runs.yaml"))
    assert run.path == "s3://bucket/p.parquet"
