"""Input that comes by a pipe, starts with a byte order mark, or is made to cost more than it should."""

import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Resampling, compare, jsonl, score
from unirex.metrics.commands.cli import main
from unirex.metrics.source import open_source

NO_DRAWS = Resampling(replicates=0)
N = 3000
"""Rows enough for more than the 64 KiB that a pipe holds."""


def text(n: int = N) -> bytes:
    rows = ({"id": f"row-{i}", "scores": [i % 7, 3, 1], "gold": [1, i % 2, 0]} for i in range(n))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(predictions.table(0, 50), sink)
    return sink.getvalue()


def command(words: list[str], content: bytes) -> tuple[int, str, str]:
    """Runs the command with `content` on its standard input, which is a pipe."""
    code = "import sys; from unirex.metrics.commands.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *words], input=content, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("kind", ["lines", "gzip", "parquet"])
def test_a_pipe_is_read_once_and_whole(name: str, kind: str, tmp_path: Path) -> None:
    content = {"lines": text(), "gzip": gzip.compress(text()), "parquet": parquet()}[kind]
    path = tmp_path / {"lines": "p.jsonl", "gzip": "p.jsonl.gz", "parquet": "p.parquet"}[kind]
    path.write_bytes(content)
    expected = [metric.value for metric in score(path, resampling=NO_DRAWS).metrics]
    code, out, err = command(["score", name, "--replicates", "0", "--json"], content)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["rows"] == (50 if kind == "parquet" else N)
    assert [metric["value"] for metric in found["metrics"]] == pytest.approx(expected, nan_ok=True)


def test_a_pipe_can_be_validated_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(text(50))
    assert command(["validate", "-"], text())[:2] == (0, "no problem\n")
    code, out, _ = command(["compare", str(path), "-", "--replicates", "20"], text(50))
    assert code == 0
    assert "auprc" in out


def test_what_is_wrong_in_a_pipe_is_one_line() -> None:
    code, _, err = command(["score", "-"], text() + b'{"id": "x", "scores": 1}\n')
    assert code == 2
    assert err.startswith(f"unirex-metrics: error: standard input: line {N + 1}: ")
    assert command(["score", "-"], b"")[2] == "unirex-metrics: error: standard input: no rows\n"


def test_a_named_pipe_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    pipe = tmp_path / "p.jsonl"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(text()), daemon=True).start()
    source = open_source(pipe)
    assert len(list(copies.iterdir())) == 1
    assert sum(batch.num_rows for _, batch in source.batches(["id"])) == N
    del source
    assert not list(copies.iterdir())


def test_a_pipe_that_is_not_read_to_its_end_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    copies, pipe = tmp_path / "copies", tmp_path / "p.jsonl"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    monkeypatch.setattr("shutil.copyfileobj", stop)
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(text(1)), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        open_source(pipe)
    assert not list(copies.iterdir())


@pytest.mark.parametrize("compressed", [False, True])
def test_a_byte_order_mark_is_skipped(compressed: bool, tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + text(5)
    path = tmp_path / ("p.jsonl.gz" if compressed else "p.jsonl")
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert score(path, resampling=NO_DRAWS).n_rows == 5


def test_a_long_first_line_costs_no_more_than_it_is_long(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(b'{"id": "')
        for _ in range(64):
            file.write(b"a" * (1 << 20))
    start = time.process_time()
    with pytest.raises(ValueError, match=r"p\.jsonl\.zst: line 1: a line longer than 8 MiB, expected one row a line"):
        score(path)
    assert time.process_time() - start < 2


def test_a_long_later_line_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "BLOCK", 1 << 20)
    path = tmp_path / "p.jsonl"
    path.write_bytes(text(5) + b'{"id": "' + b"a" * (3 << 20) + b'", "scores": [1], "gold": [1]}\n')
    with pytest.raises(ValueError, match="a line longer than 1 MiB, expected one row a line"):
        score(path)


def test_a_line_of_many_reads_is_whole(tmp_path: Path) -> None:
    row = {"id": "b" * 200_000, "scores": [0.5, 0.1] * 20_000, "gold": [1, 0] * 20_000}
    path = tmp_path / "p.jsonl"
    path.write_text("\n \n" + json.dumps(row) + "\n" + json.dumps(row | {"id": "c"}))
    assert score(path, resampling=NO_DRAWS)["auprc"].n == 2


def test_values_in_messages_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 5_000_000
    path = tmp_path / "p.parquet"
    for table in (
        pa.table({"id": [name], "scores": [[float("inf")]], "gold": [[1.0]]}),
        pa.table({"id": [name] * 2, "scores": [[1.0, 2.0]] * 2, "gold": [[1.0, 0.0]] * 2}),
        pa.table({"id": ["a"], "label": [name], "prediction": ["b"]}),
        pa.table({"id": ["a"], name: [1]}),
    ):
        pq.write_table(table, path)
        assert main(["score", str(path), "--labels", "a", "b"]) == 2
        assert len(capsys.readouterr().err) < 1000


def test_ids_in_messages_of_a_comparison_are_cut(tmp_path: Path) -> None:
    name = "x" * 5_000_000
    rows = {"id": [name, "b"], "scores": [[1.0, 2.0]] * 2, "gold": [[1.0, 0.0]] * 2}
    for other in (rows | {"id": ["a", "b"]}, rows | {"gold": [[0.0, 1.0], [1.0, 0.0]]}):
        with pytest.raises(ValueError, match="id") as caught:
            compare([pa.table(rows), pa.table(other)], resampling=Resampling(replicates=2))
        assert len(str(caught.value)) < 1000
    with pytest.raises(ValueError, match="expected 0 <= start") as caught:
        score({"id": [name], "scores": [[1.0, 2.0]], "gold_word_spans": [[[0, 3]]]})
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no folder of files in /dev")
def test_files_and_folders_in_dev_are_no_pipes() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "p.parquet"
        path.write_bytes(parquet())
        assert open_source(path).parts == ((str(path), path),)
        assert open_source(folder).parts == ((str(path), path),)
        assert open_source(f"{folder}/*.parquet").n_rows() == 50


def test_a_column_twice_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = [pa.array(["a"]), pa.array([[1.0, 2.0]]), pa.array([[1.0, 2.0]]), pa.array([[1.0, 0.0]]), pa.array([1])]
    table = pa.Table.from_arrays([*arrays, arrays[-1]], names=["id", "scores", "scores", "gold", "junk", "junk"])
    path = tmp_path / "p.parquet"
    pq.write_table(table, path)
    assert main(["score", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"unirex-metrics: error: {path}: column 'scores' occurs 2 times, expected once\n"
    )
    # What is not read may be there twice.
    pq.write_table(table.remove_column(1), path)
    assert main(["score", str(path), "--replicates", "0"]) == 0
