"""Files that are made to break readers: one line that says where, and memory that the file's size bounds."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from memory import peak

from unirex import train
from unirex.disk.untrusted import parse_yaml, read_json
from unirex.metrics.commands import cli

GOOD = '{"id": "a", "label": "x", "prediction": "x"}\n'


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('{"id": "b", "scores": ' + "[" * 100_000 + "]" * 100_000 + "}", ""),
        ('{"id": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}", ""),
        ('{"id": "b", "words_cut": ' + "1" * 10_000 + "}", "digits"),
        ('{"id": "b\\ud800"}', ""),
        ('{"id": "b\xff"}', ""),
        ('{"id": "b", "id": "c", "label": "x", "prediction": "x"}', "twice"),
        ('{"id": "a", "label": "x", "prediction": "x"}', "occurs 2 times"),
        ('{"id": null, "label": "x", "prediction": "x"}', "id"),
        ('{"id": [1], "label": {}, "prediction": 2}', ""),
        ("[1, 2]", ""),
        ("NaN", ""),
        ("\x00" * 1000, ""),
        ("", "no rows"),
    ],
    ids=lambda value: value[:24],
)
@pytest.mark.parametrize("first", [True, False])
def test_bad_lines_of_predictions(
    line: str, part: str, first: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.jsonl"
    lines = [line + "\n", GOOD] if first else [GOOD, line + "\n"]
    content = "".join([*lines, GOOD if "occurs" in part else ""][: 1 if part == "no rows" else 3])
    file.write_bytes(content.encode("latin-1"))
    code = cli.main(["score", str(file)])
    error = capsys.readouterr().err
    if part in {"no rows", "digits", ""} and not first:  # a column that the first line lacks is not looked at
        assert code in (0, 2)
    else:
        assert code == 2
        assert not first or part in error or part.replace("2", "3") in error
    assert error.count("\n") <= 1
    assert len(error) < 600
    assert code == 0 or str(file) in error


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, '"\\ud800"', '["\\uDFFF\\ud800"]'])
def test_json_that_python_chokes_on_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(nested|a whole number|half)"):
        read_json(text)
    with pytest.raises(ValueError, match=r"^the key 'digits' twice in an object$"):
        read_json('[{"digits": 1, "a": {}, "digits": 1}]')
    assert read_json('"\\ud83d\\ude00 \\\\ud800"') == "\U0001f600 \\ud800"


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    "text", ["seed: " + "[" * 50_000, LAUGHS, "seed: " + "{a: " * 500 + "1" + "}" * 500, "- " * 9999]
)
def test_a_configuration_cannot_blow_up(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert train.main([f"--config={tmp_path / 'a.yaml'}"]) == 2
    assert "a.yaml: not YAML: nested deeper than 64 levels or more than 100000 values" in capsys.readouterr().err
    assert parse_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A bomb of a few KiB, a line without end, and a Parquet file that claims rows it has not."""
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    small = tmp_path / "small.jsonl"
    small.write_text(GOOD)
    code, least = peak("score", str(small))
    assert code == 0
    bomb = tmp_path / "bomb.jsonl.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        file.write(GOOD.encode())
        for _ in range(64):
            file.write(b" " * (1 << 20))
    assert bomb.stat().st_size < 100_000
    code, memory = peak("score", str(bomb))
    assert code == 2
    assert memory < least + 200
    table = pa.table({"id": pa.array(["a"] * 2_000_000).dictionary_encode(), "label": ["x"] * 2_000_000})
    pq.write_table(table, tmp_path / "same.parquet")
    assert (tmp_path / "same.parquet").stat().st_size < 1_000_000
    code, memory = peak("validate", str(tmp_path / "same.parquet"))
    assert code == 2
    assert memory < least + 200
