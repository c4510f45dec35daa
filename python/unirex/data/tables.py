"""One split of a table, wherever it lies: files, a folder of files, a saved data set, the Hugging Face Hub.

Local files are read here and need neither the network nor the `datasets` library. A CSV cell is always text (so that
ids keep their zeros and a text `NA` stays a text) or, when empty, null.
"""

import glob
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.data.errors import DataError, shown
from unirex.data.mapping import ClassNames
from unirex.data.rows import BLOCK_ROWS, FORMATS, Block, damaged, parse_json, read_text, stream_blocks, stream_rows
from unirex.disk.untrusted import read_json
from unirex.extras import install

if TYPE_CHECKING:
    import datasets

_COUNTED: ContextVar[dict[Path, int] | None] = ContextVar("_COUNTED", default=None)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows that are read when they are asked for, and the class names of columns that hold class numbers.

    Attributes:
        blocks: reads all rows, from the first on.
        count: the number of rows, where it is known without reading them.
    """

    blocks: Callable[[], Iterator[Block]]
    class_names: ClassNames = field(default_factory=dict)
    count: Callable[[], int] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.blocks())) if self.count is None else self.count()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that any row has; reads all rows."""
        return tuple(dict.fromkeys(name for block in self.blocks() for name in block.names))

    def between(self, first: int, last: int | None) -> Iterator[Block]:
        """The rows from `first` to before `last`; None = all that follow."""
        start = 0
        for block in self.blocks():
            if last is not None and start >= last:
                return
            begin, end = max(0, first - start), len(block) if last is None else min(len(block), last - start)
            if begin < end:
                yield block if end - begin == len(block) else block.part(begin, end)
            start += len(block)


def read_table(
    path: str, names: Sequence[str], *, subset: str | None, revision: str | None, streaming: bool = False
) -> Table | None:
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
    local = Path(path).is_absolute() or path.startswith((".", "~")) or glob.has_magic(path)
    if local or FORMATS.keys() & {*Path(path).suffixes}:  # the last may be that of a compressed file
        raise DataError(f"{path}: no such file or folder")
    return _hub(path, names, subset, {"revision": revision} | ({"streaming": True} if streaming else {}))


@contextmanager
def counted_once() -> Iterator[None]:
    """Within, the rows of a file are counted once, however many splits are parts of it."""
    token = _COUNTED.set({})
    try:
        yield
    finally:
        _COUNTED.reset(token)


def _rows_of(path: Path) -> int:
    within = _COUNTED.get()
    known = {} if within is None else within
    if path not in known:
        known[path] = _count(path)
    return known[path]


def _count(path: Path) -> int:
    if path.suffix.lower() == ".parquet":
        try:
            return int(pq.read_metadata(path).num_rows)
        except pa.ArrowException as error:
            raise damaged(path, error) from None
    return sum(map(len, stream_blocks(path)))


def _matches(pattern: str) -> list[Path]:
    """The file of this name, else those that the pattern matches."""
    if Path(pattern).is_file():
        return [Path(pattern)]
    return [Path(file) for file in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - may be absolute


def _files(paths: Sequence[Path]) -> Table:
    """The rows of one or several files, one below the other."""
    class_names: dict[str, tuple[str, ...]] = {}
    for path in paths:
        stream_rows(path)  # refuses what is no file, or of no known format
        for column, names in (_class_names(path) if path.suffix.lower() == ".parquet" else {}).items():
            if (first := class_names.setdefault(column, names)) != names:
                told = f"{shown(list(names))}, expected {shown(list(first))} as in the files before it"
                raise DataError(f"{path}: the classes of {column} are {told}")
    return Table(
        lambda: (block for path in paths for block in _blocks(path)), class_names, lambda: sum(map(_rows_of, paths))
    )


def _folder(folder: Path, names: Sequence[str]) -> Table | None:
    splits = folder / "dataset_dict.json"
    if splits.exists():
        there = _names_of_splits(splits)
        return next((_saved(folder / name) for name in names if name in there), None)
    if (folder / "state.json").exists():
        return _saved(folder) if "train" in names else None
    for name in names:
        pattern = re.compile(re.escape(name) + r"(?:-(\d{5})-of-(\d{5}))?")
        files = {
            file: match
            for place in (folder, folder / "data")
            for file in sorted(place.glob("*"))
            if file.suffix.lower() in FORMATS and (match := pattern.fullmatch(file.stem))
        }
        if files:
            _check_whole(folder, name, files)
            return _files([*files])
    return None


def _check_whole(folder: Path, name: str, files: dict[Path, re.Match[str]]) -> None:
    """Refuses files of a split that are not one file, or all shards of one table."""
    first, last = next(iter(files)), next(reversed(files))
    found = " and ".join(str(file.relative_to(folder)) for file in (first, last))
    for what, kinds in (
        ("in one format", {file.suffix.lower() for file in files}),
        ("in one folder", {file.parent for file in files}),
        ("as one file or as shards of one table", {match[2] for match in files.values()}),
    ):
        if len(kinds) > 1:
            raise DataError(f"{folder}: found {found}, expected split {name!r} {what}")
    of = files[first][2]
    if of is not None and len(files) != int(of):
        raise DataError(f"{folder}: found {len(files)} of the {int(of)} shards of split {name!r}, expected all of them")


def _names_of_splits(path: Path) -> Sequence[str]:
    content = parse_json(str(path), read_text(path))
    names = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(names, list):
        raise DataError(f"{path}: splits is {shown(names)}, expected a list of names")
    return names


def _blocks(path: Path) -> Iterator[Block]:
    for block in stream_blocks(path):
        if path.suffix.lower() in {".csv", ".tsv"} and block.columns is not None:
            columns = {name: [cell or None for cell in cells] for name, cells in block.columns.items()}
            yield replace(block, columns=columns)
        else:
            yield block


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
    except pa.ArrowException as error:
        raise damaged(path, error) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path}: the schema's entry 'huggingface' is not what the datasets library writes") from None


def _saved(folder: Path) -> Table:
    """A data set that `save_to_disk` wrote."""
    with _readable(f"{folder}: not a saved data set", OSError, ValueError, pa.ArrowException):
        return _from_datasets(str(folder), _datasets(str(folder)).load_from_disk(str(folder)))


def _hub(path: str, names: Sequence[str], subset: str | None, options: Mapping[str, Any]) -> Table | None:
    library = _datasets(path)
    unreadable = (OSError, ValueError, RuntimeError, library.exceptions.DatasetsError)
    with _readable(f"{path}: not found locally or on the Hub", *unreadable):
        splits = library.load_dataset(path, subset, **options)
    return next((_from_datasets(f"{path}[{name}]", splits[name]) for name in names if name in splits), None)


@contextmanager
def _readable(message: str, *errors: type[Exception]) -> Iterator[None]:
    """One line for what the `datasets` library raises."""
    try:
        yield
    except DataError:
        raise
    except errors as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{message} ({reason})") from None


def _datasets(path: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(f"{path}: reading it needs the package datasets: {install('train')}") from None
    return datasets


def _from_datasets(where: str, dataset: "datasets.Dataset | datasets.IterableDataset") -> Table:
    dataset = dataset.with_format(None)  # plain values, whatever it was saved for
    features = dataset.features or {}  # a stream may not know them
    class_names = {name: tuple(f.names) for name, f in features.items() if hasattr(f, "int2str")}

    def blocks() -> Iterator[Block]:
        first = 1
        with _readable(f"{where}: cannot be read", OSError, ValueError, pa.ArrowException):
            for columns in dataset.iter(batch_size=BLOCK_ROWS):
                n_rows = max(map(len, columns.values()), default=0)
                yield Block(f"{where}: row ", range(first, first + n_rows), columns)
                first += n_rows

    return Table(blocks, class_names, (lambda: len(dataset)) if hasattr(dataset, "__len__") else None)
