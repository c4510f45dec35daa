"""Every place a table may lie in: what is found there, row by row, and what a faulty one is told."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unirex.data.errors import DataError
from unirex.data.tables import Table, read_table

ROWS = [{"text": "a fine film", "label": 1}, {"text": "dull", "label": 0}]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a local table must not ask the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def read(path: Path | str, *names: str) -> Table:
    table = read_table(str(path), names or ("train",), subset=None, revision=None)
    assert table is not None
    return table


def rows(table: Table) -> list[Any]:
    return [row for _, row in placed(table)]


def placed(table: Table) -> list[Any]:
    return [block.row(index) for block in table.blocks() for index in range(len(block))]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class TestFormats:
    def test_csv_cells_are_text_or_null(self, tmp_path: Path) -> None:
        content = '\ufeffid,text,gold\n007,NA,"[0, 1]"\n1.50,null,\n3,"two\nlines, ""x""",1e5\n'
        table = read(write(tmp_path / "a.csv", content))
        assert table.columns == ("id", "text", "gold")
        assert rows(table) == [
            {"id": "007", "text": "NA", "gold": "[0, 1]"},
            {"id": "1.50", "text": "null", "gold": None},
            {"id": "3", "text": 'two\nlines, "x"', "gold": "1e5"},
        ]
        assert [where for where, _ in placed(table)] == [f"{tmp_path}/a.csv: row {n}" for n in (1, 2, 3)]

    def test_tsv(self, tmp_path: Path) -> None:
        assert rows(read(write(tmp_path / "a.tsv", "text\tlabel\na, b\tx\n"))) == [{"text": "a, b", "label": "x"}]

    def test_a_long_csv_row(self, tmp_path: Path) -> None:
        text = "word " * 1_000_000
        assert rows(read(write(tmp_path / "a.csv", f"text\n{text}\n"))) == [{"text": text}]

    def test_jsonl_knows_its_lines_and_all_columns(self, tmp_path: Path) -> None:
        table = read(write(tmp_path / "a.jsonl", '{"text": "x"}\n\n{"text": "y", "gold": [1]}\n'))
        assert table.columns == ("text", "gold")
        assert placed(table) == [
            (f"{tmp_path}/a.jsonl:1", {"text": "x"}),
            (f"{tmp_path}/a.jsonl:3", {"text": "y", "gold": [1]}),
        ]

    @pytest.mark.parametrize("content", [ROWS, {"data": ROWS}, {"version": 1, "data": ROWS}])
    def test_json(self, tmp_path: Path, content: Any) -> None:
        table = read(write(tmp_path / "a.json", json.dumps(content)))
        assert rows(table) == ROWS
        assert placed(table)[1][0] == f"{tmp_path}/a.json: row 2"

    def test_parquet(self, tmp_path: Path) -> None:
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
        table = read(tmp_path / "a.parquet")
        assert rows(table) == ROWS
        assert table.columns == ("text", "label")
        assert table.class_names == {}

    @pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
    def test_an_empty_file_has_no_rows(self, tmp_path: Path, name: str) -> None:
        assert placed(read(write(tmp_path / name, ""))) == []

    def test_a_csv_header_alone_has_no_rows(self, tmp_path: Path) -> None:
        assert placed(read(write(tmp_path / "a.csv", "text,label\n"))) == []


class TestDatasetsLibrary:
    @staticmethod
    def dataset() -> Any:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(
            text=datasets.Value("string"),
            label=datasets.ClassLabel(names=["neg", "pos"]),
            n=datasets.List(datasets.Value("int8")),
        )
        return datasets.Dataset.from_list([{**ROWS[0], "n": [1]}, {**ROWS[1], "n": None}], features=features)

    def check(self, table: Table) -> None:
        assert rows(table) == [{**ROWS[0], "n": [1]}, {**ROWS[1], "n": None}]
        assert table.class_names == {"label": ("neg", "pos")}
        assert table.columns == ("text", "label", "n")

    def test_parquet_keeps_class_names(self, tmp_path: Path) -> None:
        self.dataset().to_parquet(tmp_path / "a.parquet")
        self.check(read(tmp_path / "a.parquet"))

    def test_files_that_number_their_classes_in_two_orders_are_refused(self, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        self.dataset().to_parquet(tmp_path / "a.parquet")
        other = datasets.ClassLabel(names=["pos", "neg"])
        self.dataset().cast_column("label", other).to_parquet(tmp_path / "b.parquet")
        found = (
            r"b\.parquet: the classes of label are \['pos', 'neg'\], expected \['neg', 'pos'\] as in the files before"
        )
        with pytest.raises(DataError, match=found):
            read(tmp_path / "*.parquet")

    def test_saved(self, tmp_path: Path) -> None:
        self.dataset().save_to_disk(tmp_path / "saved")
        table = read(tmp_path / "saved")
        self.check(table)
        assert placed(table)[1][0] == f"{tmp_path}/saved: row 2"
        assert read_table(str(tmp_path / "saved"), ("test",), subset=None, revision=None) is None

    def test_saved_with_splits(self, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        whole = self.dataset()
        datasets.DatasetDict(train=whole.select([0]), validation=whole).save_to_disk(tmp_path / "saved")
        self.check(read(tmp_path / "saved", "val", "validation"))
        assert len(placed(read(tmp_path / "saved"))) == 1
        assert read_table(str(tmp_path / "saved"), ("test",), subset=None, revision=None) is None

    def test_a_saved_data_set_that_is_broken(self, tmp_path: Path) -> None:
        write(tmp_path / "saved" / "state.json", "{}")
        with pytest.raises(DataError, match=r"saved: not a saved data set \("):
            placed(read(tmp_path / "saved"))

    def test_the_hub(self, monkeypatch: pytest.MonkeyPatch) -> None:
        datasets = pytest.importorskip("datasets")
        asked = []

        def load(path: str, subset: str | None, *, revision: str | None) -> Any:
            asked.append((path, subset, revision))
            return datasets.DatasetDict(train=self.dataset())

        monkeypatch.setattr(datasets, "load_dataset", load)
        table = read_table("owner/films", ("train",), subset="small", revision="v1")
        assert table is not None
        self.check(table)
        assert placed(table)[0][0] == "owner/films[train]: row 1"
        assert read_table("owner/films", ("val", "dev"), subset=None, revision=None) is None
        assert asked == [("owner/films", "small", "v1"), ("owner/films", None, None)]

    def test_the_hub_without_network(self, tmp_path: Path) -> None:
        code = (
            "from unirex.data import *\n"
            "try: load_split(DataConfig(source='hub', path='owner/films'), 'train')\n"
            "except DataError as error: print(error)\n"
        )
        env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
        out = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert out.stdout.startswith("owner/films: not found locally or on the Hub (")
        assert out.stdout.count("\n") == 1

    def test_local_files_do_not_need_the_library(self, tmp_path: Path) -> None:
        write(tmp_path / "train.csv", "text,label\nx,a\n")
        code = (
            "import sys; sys.modules['datasets'] = None\n"
            "from unirex.data import *\n"
            "print(load_split(DataConfig(source='hub', path='.'), 'train')[0].label)\n"
            "try: load_split(DataConfig(source='hub', path='owner/films'), 'train')\n"
            "except DataError as error: print(error)\n"
        )
        out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        needs = "reading it needs the package datasets: pip install 'unirex-rationales[train]'"
        assert out.stdout == f"a\nowner/films: {needs}\n"
        assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


class TestPlaces:
    def test_a_folder_by_the_usual_names(self, tmp_path: Path) -> None:
        for name in ("train", "dev", "train-small", "trainer"):
            write(tmp_path / f"{name}.csv", f"text\n{name}\n")
        write(tmp_path / "train.txt", "no table")
        assert rows(read(tmp_path)) == [{"text": "train"}]
        assert rows(read(tmp_path, "val", "validation", "valid", "dev")) == [{"text": "dev"}]
        assert read_table(str(tmp_path), ("test",), subset=None, revision=None) is None

    def test_a_folder_of_shards(self, tmp_path: Path) -> None:
        for number in (1, 0):
            write(tmp_path / "data" / f"train-0000{number}-of-00002.jsonl", json.dumps({"text": str(number)}))
        assert rows(read(tmp_path)) == [{"text": "0"}, {"text": "1"}]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["train-00000-of-00003"], "found 1 of the 3 shards of split 'train', expected all of them"),
            (["train", "data/train"], r"found train\.csv and data/train\.csv, expected split 'train' in one folder"),
            (["train", "train-00000-of-00001"], "expected split 'train' as one file or as shards of one table"),
            (["train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"], "as shards of one table"),
        ],
    )
    def test_a_split_of_a_folder_is_whole_and_there_once(self, names: list[str], message: str, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        for name in names:
            write(tmp_path / f"{name}.csv", "text\nx\n")
        with pytest.raises(DataError, match=message):
            placed(read(tmp_path))

    def test_an_ending_may_be_in_capitals(self, tmp_path: Path) -> None:
        write(tmp_path / "val.CSV", "text\nx\n")
        assert rows(read(tmp_path, "val")) == [{"text": "x"}]

    def test_a_folder_with_a_split_in_two_formats(self, tmp_path: Path) -> None:
        write(tmp_path / "train.csv", "text\nx\n")
        write(tmp_path / "train.jsonl", '{"text": "x"}')
        with pytest.raises(
            DataError, match=r"found train\.csv and train\.jsonl, expected split 'train' in one format$"
        ):
            placed(read(tmp_path))

    def test_a_pattern_is_one_split_in_the_order_of_the_names(self, tmp_path: Path) -> None:
        for name in ("b", "a"):
            write(tmp_path / f"{name}.csv", f"text,{name}\n{name},1\n")
        table = read(tmp_path / "*.csv")
        assert rows(table) == [{"text": "a", "a": "1"}, {"text": "b", "b": "1"}]
        assert table.columns == ("text", "a", "b")
        assert read_table(str(tmp_path / "*.csv"), ("val",), subset=None, revision=None) is None

    def test_split_in_the_path(self, tmp_path: Path) -> None:
        write(tmp_path / "my_dev_set.csv", "text\nx\n")
        assert rows(read(tmp_path / "my_{split}_set.csv", "val", "dev")) == [{"text": "x"}]
        assert read_table(str(tmp_path / "my_{split}_set.csv"), ("test",), subset=None, revision=None) is None

    def test_a_name_with_the_characters_of_a_pattern(self, tmp_path: Path) -> None:
        assert rows(read(write(tmp_path / "a[1].csv", "text\nx\n"))) == [{"text": "x"}]


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.csv", "text,label\nx\n", ": row 1: 1 cells, expected 2 as in the header"),
            ("a.csv", b"text\n\xff\n", r": line 2: byte 0 is b'\xff', expected UTF-8 text"),
            ("a.tsv", b"text\n" * 3000 + b"a\xe9\n", r": line 3001: byte 1 is b'\xe9', expected UTF-8 text"),
            ("a.csv", b"t\xe9xt\na\n", r": line 1: byte 1 is b'\xe9', expected UTF-8 text"),
            ("a.jsonl", '{"a": 1}\n{"a"\n', ":2: bad JSON at character 5 (Expecting ':' delimiter)"),
            ("a.jsonl", "[1]\n", ":1: the line is [1], expected a JSON object"),
            (
                "a.json",
                "{}",
                ": the file is {}, expected a list of objects (or JSON lines under a name that ends in .jsonl)",
            ),
            ("a.json", "[1]", ": row 1: the row is 1, expected a JSON object"),
            ("a.json", '{"a": 1}\n{"a": 2}', ": bad JSON at character 10 (Extra data)"),
            (
                "a.txt",
                "x",
                ": the file's name ends in '.txt', expected one of .csv, .tsv, .json, .jsonl, .ndjson, .parquet",
            ),
        ],
    )
    def test_bad_files_one_line_each(self, tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
        path = write(tmp_path / name, content)
        with pytest.raises(DataError) as error:
            placed(read(path))
        assert str(error.value) == f"{path}{message}"

    def test_a_parquet_file_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"a\.parquet: .*[Pp]arquet") as error:
            placed(read(write(tmp_path / "a.parquet", "text")))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "path", ["nowhere.csv", "nowhere.csv.gz", "./nowhere", "nowhere/*.x", "~/nowhere", "/nowhere/at/all"]
    )
    def test_a_local_path_that_does_not_exist_is_never_asked_from_the_hub(self, path: str) -> None:
        with pytest.raises(DataError) as error:
            placed(read(path))
        assert str(error.value) == f"{path}: no such file or folder"


class TestParquetColumns:
    def test_only_what_is_read_is_decoded(self, tmp_path: Path) -> None:
        beyond = pa.array([2**31 - 1, 0], pa.int32()).cast(pa.date32())  # a database's infinity
        broken = pa.array([b"\xff", b"a"]).cast(pa.binary()).view(pa.string())
        table = pa.table({"text": ["a fine film", "dull"], "when": beyond, "by": broken})
        pq.write_table(table, tmp_path / "a.parquet")
        found = read(tmp_path / "a.parquet")
        assert len(found) == 2
        (block,) = found.blocks()
        assert block.cells("text") == ["a fine film", "dull"]
        assert block.row(1)[1]["text"] == "dull"
        assert list(block.part(1, 2).cells("text")) == ["dull"]
        for column in ("when", "by"):
            with pytest.raises(DataError, match=rf"a.parquet: column {column} cannot be read \(.+\)$"):
                block.cells(column)

    def test_a_column_that_is_there_twice_is_refused(self, tmp_path: Path) -> None:
        twice = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], ["text", "text"])
        pq.write_table(twice, tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"a\.parquet: the column 'text' is there twice, expected it once"):
            list(read(tmp_path / "a.parquet").blocks())
