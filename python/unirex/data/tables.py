"""One split of a table, wherever it lies: files, a folder of files, a saved data set, the Hugging Face Hub.

Local files are read here and need neither the network nor the `datasets` library. A CSV cell is always text (so that
ids keep their zeros and a text `NA` stays a text) or, when empty, null.
"""

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.data.errors import DataError, shown
from unirex.data.rows import FORMATS, Row, parse_json, read_text, stream_rows
from unirex.disk.untrusted import read_json
from unirex.extras import install

if TYPE_CHECKING:
    import datasets

ClassNames = Mapping[str, tuple[str, ...]]
_PARSED: ContextVar[dict[Path, "Table"] | None] = ContextVar("_PARSED", default=None)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows and where each stands; the columns that any row has; the class names of columns that hold class numbers."""

    rows: list[Row]
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
    if Path(path).suffix in FORMATS or Path(path).is_absolute() or path.startswith((".", "~")) or glob.has_magic(path):
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
        return _read(path)
    if path not in kept:
        kept[path] = _read(path)
    return kept[path]


def _matches(pattern: str) -> list[Path]:
    """The file of this name, else those that the pattern matches."""
    if Path(pattern).is_file():
        return [Path(pattern)]
    return [Path(file) for file in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - may be absolute


def _files(paths: Sequence[Path]) -> Table:
    """The rows of one or several files, one below the other."""
    tables = [_parsed(path) for path in paths]
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
            if file.suffix in FORMATS and pattern.fullmatch(file.stem)
        ]
        if len({file.suffix for file in files}) > 1:
            found = " and ".join(file.name for file in files)
            raise DataError(f"{folder}: found {found}, expected split {name!r} in one format")
        if files:
            return _files(files)
    return None


def _names_of_splits(path: Path) -> Sequence[str]:
    content = parse_json(str(path), read_text(path))
    names = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(names, list):
        raise DataError(f"{path}: splits is {shown(names)}, expected a list of names")
    return names


def _read(path: Path) -> Table:
    rows = list(stream_rows(path))
    if path.suffix.lower() in {".csv", ".tsv"}:
        rows = [(where, {column: cell or None for column, cell in row.items()}) for where, row in rows]
    columns = tuple(dict.fromkeys(column for _, row in rows for column in row))
    return Table(rows, columns, _class_names(path) if path.suffix.lower() == ".parquet" else {})


def _class_names(path: Path) -> ClassNames:
    """The class names that the `datasets` library writes into the schema of its Parquet files."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        features = read_json(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        return {
            name: tuple(feature["names"])
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path}: the schema's entry 'huggingface' is not what the datasets library writes") from None


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
        raise DataError(f"{path}: reading it needs the package datasets: {install('train')}") from None
    return datasets


def _from_datasets(where: str, dataset: "datasets.Dataset") -> Table:
    class_names = {name: tuple(f.names) for name, f in dataset.features.items() if hasattr(f, "int2str")}
    rows = [(f"{where}: row {number}", row) for number, row in enumerate(dataset, start=1)]
    return Table(rows, tuple(dataset.column_names), class_names)
