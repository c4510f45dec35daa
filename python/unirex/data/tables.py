"""One split of a table, wherever it lies: files, a folder of files, a saved data set, the Hugging Face Hub.

Local files are read here and need neither the network nor the `datasets` library. A CSV cell is always text (so that
ids keep their zeros and a text `NA` stays a text) or, when empty, null.
"""

import glob
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from unirex.data.errors import DataError, shown, wrong
from unirex.data.rows import decode, json_lines, parse_json, read_bytes
from unirex.disk.untrusted import read_json

if TYPE_CHECKING:
    import datasets

ClassNames = Mapping[str, tuple[str, ...]]
_PARSED: ContextVar[dict[Path, "Table"] | None] = ContextVar("_PARSED", default=None)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows and where each stands; the columns that any row has; the class names of columns that hold class numbers."""

    rows: list[tuple[str, Mapping[str, Any]]]
    columns: tuple[str, ...]
    class_names: ClassNames = field(default_factory=dict)


def read_table(path: str, names: Sequence[str], *, subset: str | None, revision: str | None) -> Table | None:
    """The first of the splits `names` that there is, None where there is none.

    A file by itself, files by a pattern and a saved data set without splits are the split `train`.
    """
    if "{split}" in path:
        for name in names:
            if files := _matches(path.replace("{split}", name)):
                return _files(files)
        return None
    if Path(path).is_dir():
        return _folder(Path(path), names)
    if files := _matches(path):
        return _files(files) if "train" in names else None
    if Path(path).suffix in _READERS or Path(path).is_absolute() or path.startswith((".", "~")) or glob.has_magic(path):
        raise DataError(f"{path}: no such file or folder")
    return _hub(path, names, subset, revision)


@contextmanager
def parsed_once() -> Iterator[None]:
    """Within, a file is parsed once, however many splits are parts of it; what was parsed is kept until the end."""
    token = _PARSED.set({})
    try:
        yield
    finally:
        _PARSED.reset(token)


def _parsed(path: Path) -> "Table":
    kept = _PARSED.get()
    if kept is None:
        return _READERS[path.suffix](path)
    if path not in kept:
        kept[path] = _READERS[path.suffix](path)
    return kept[path]


def _matches(pattern: str) -> list[Path]:
    """The file of this name, else those that the pattern matches."""
    if Path(pattern).is_file():
        return [Path(pattern)]
    return [Path(file) for file in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - may be absolute


def _files(paths: Sequence[Path]) -> Table:
    """The rows of one or several files, one below the other."""
    tables = []
    for path in paths:
        if path.suffix not in _READERS:
            raise DataError(f"{path}: the file's name ends in {path.suffix!r}, expected one of {', '.join(_READERS)}")
        tables.append(_parsed(path))
    columns = dict.fromkeys(column for table in tables for column in table.columns)
    class_names = {column: names for table in tables for column, names in table.class_names.items()}
    return Table([row for table in tables for row in table.rows], tuple(columns), class_names)


def _folder(folder: Path, names: Sequence[str]) -> Table | None:
    splits = folder / "dataset_dict.json"
    if splits.exists():
        there = _names_of_splits(splits)
        return next((_saved(folder / name) for name in names if name in there), None)
    if (folder / "state.json").exists():
        return _saved(folder) if "train" in names else None
    for name in names:
        pattern = re.compile(re.escape(name) + r"(-\d{5}-of-\d{5})?")
        files = [
            file
            for place in (folder, folder / "data")
            for file in sorted(place.glob("*"))
            if file.suffix in _READERS and pattern.fullmatch(file.stem)
        ]
        if len({file.suffix for file in files}) > 1:
            found = " and ".join(file.name for file in files)
            raise DataError(f"{folder}: found {found}, expected split {name!r} in one format")
        if files:
            return _files(files)
    return None


def _csv(path: Path) -> Table:
    separator = "\t" if path.suffix == ".tsv" else ","
    content = decode(str(path), read_bytes(path)).encode()
    if not content.strip():
        return Table([], ())
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    # A block must hold the longest row; the file is in memory already, so one block may be as large.
    read = pa.csv.ReadOptions(block_size=min(len(content) + 1, 2**31 - 1))
    try:
        header = pa.csv.open_csv(pa.BufferReader(content), read_options=read, parse_options=parse).schema.names
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        table = pa.csv.read_csv(pa.BufferReader(content), read, parse, convert)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from None
    return _from_arrow(path, table)


def _parquet(path: Path) -> Table:
    read_bytes(path)
    try:
        return _from_arrow(path, pa.parquet.read_table(path))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from None


def _names_of_splits(path: Path) -> Sequence[str]:
    content = parse_json(str(path), decode(str(path), read_bytes(path)))
    names = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(names, list):
        raise DataError(f"{path}: splits is {shown(names)}, expected a list of names")
    return names


def _from_arrow(path: Path, table: pa.Table) -> Table:
    rows = [(f"{path}: row {number}", row) for number, row in enumerate(table.to_pylist(), start=1)]
    try:
        named = _named_classes(table.schema.metadata or {})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path}: the schema's entry 'huggingface' is not what the datasets library writes") from None
    return Table(rows, tuple(table.column_names), named)


def _named_classes(metadata: Mapping[bytes, bytes]) -> ClassNames:
    """The class names that the `datasets` library writes into the schema of its Parquet files."""
    features = read_json(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {
        name: tuple(feature["names"])
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _jsonl(path: Path) -> Table:
    rows = list(json_lines(path))
    return Table([*rows], tuple(dict.fromkeys(column for _, row in rows for column in row)))


def _json(path: Path) -> Table:
    """A file that is a list of objects, or an object with one such list in it."""
    content = parse_json(str(path), decode(str(path), read_bytes(path)))
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list):
        raise wrong(
            str(path), "the file", content, "a list of objects (or JSON lines under a name that ends in .jsonl)"
        )
    rows = []
    for number, row in enumerate(content, start=1):
        if not isinstance(row, dict):
            raise wrong(f"{path}: row {number}", "the row", row, "a JSON object")
        rows.append((f"{path}: row {number}", row))
    return Table([*rows], tuple(dict.fromkeys(column for _, row in rows for column in row)))


def _saved(folder: Path) -> Table:
    """A data set that `save_to_disk` wrote."""
    try:
        return _from_datasets(str(folder), _datasets(str(folder)).load_from_disk(str(folder)))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{folder}: not a saved data set ({str(error).splitlines()[0]})") from None


def _hub(path: str, names: Sequence[str], subset: str | None, revision: str | None) -> Table | None:
    library = _datasets(path)
    try:
        splits = library.load_dataset(path, subset, revision=revision)
    except (OSError, ValueError, RuntimeError, library.exceptions.DatasetsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not found locally or on the Hub ({reason})") from None
    return next((_from_datasets(f"{path}[{name}]", splits[name]) for name in names if name in splits), None)


def _datasets(path: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(f"{path}: reading it needs the package datasets: install unirex[train]") from None
    return datasets


def _from_datasets(where: str, dataset: "datasets.Dataset") -> Table:
    class_names = {name: tuple(f.names) for name, f in dataset.features.items() if hasattr(f, "int2str")}
    rows = [(f"{where}: row {number}", row) for number, row in enumerate(dataset, start=1)]
    return Table(rows, tuple(dataset.column_names), class_names)


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
