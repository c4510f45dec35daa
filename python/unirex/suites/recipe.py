"""The file of a suite: methods, data sets, seeds and common settings."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unirex.config.command_line import expand
from unirex.config.recipes import PACKAGED, SUITES, find_recipe
from unirex.disk.untrusted import read_yaml
from unirex.suites.grid_config import Grid, read_grid
from unirex.suites.reading import check_key, read_different, read_mapping, read_settings
from unirex.suites.table_config import TABLE_KEYS, TableConfig, read_table
from unirex.text import suggest


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a suite says about a method or data set: configuration files, and settings that win over them.

    Attributes:
        configs: files, applied in order.
        settings: dotted key -> value.
        control: shown in the table, but never the worst or best of it.
        seeds: of a method that does not take the suite's.
        chosen: the method whose chosen settings it takes; None = its own.
        points: of a data set, the values of the suite's sweep that it is run at; None = all.
        seeds_here: of a data set, the seeds of methods that have others there; with none, a method is not run there.
        groups: of a data set, what the ids of rows that are not independent begin with (a regular expression).
    """

    configs: tuple[Path, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    control: bool = False
    seeds: tuple[int, ...] | None = None
    chosen: str | None = None
    points: tuple[Any, ...] | None = None
    seeds_here: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    groups: str | None = None

    def rows(self) -> dict[str, str]:
        """The settings, of files and its own, that say which rows a data set has, and not only how they are used."""
        found: dict[str, Any] = {}
        for config in self.configs:
            found |= read_settings(read_yaml(config), str(config))
        found |= self.settings
        return {key: str(value) for key, value in found.items() if key.startswith(_NAMES_ROWS)}


_NAMES_ROWS = ("data.source", "data.path", "data.name", "data.hub", "data.toy")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One setting that takes several values: every run is made once for each.

    Attributes:
        key: dotted, as on the command line of a run.
        values: what it takes, in the order of the plot's axis.
    """

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite: runs are methods x data sets x values of the sweep x seeds.

    Attributes:
        path: the file.
        output: folder of the runs and the table.
        base: configuration files that come first in every run.
        data, methods: by name, in the order of the table.
        seeds: of training.
        settings: dotted key -> value for every run, winning over all files.
        sweep: a setting that varies.
        transfer: data sets that every trained model is judged on, without training.
        grid: whose scores are judged on whose models; the table then shows that, and not the runs.
        references: the method whose models the control scores (random, gold, inverse) are shown for; None = none.
        table: how the table is made.
        ledger: file that lists finished runs; None = the runs' folders say what is finished.
        chosen: file with what an earlier suite chose for each method and data set (`unirex.suites.choice`).
    """

    path: Path
    output: Path
    base: tuple[Path, ...]
    data: Mapping[str, Recipe]
    methods: Mapping[str, Recipe]
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: Sweep | None = None
    transfer: Mapping[str, Recipe] = field(default_factory=dict)
    grid: Grid | None = None
    references: str | None = None
    table: TableConfig = field(default_factory=TableConfig)
    ledger: Path | None = None
    chosen: Path | None = None

    @property
    def points(self) -> tuple[tuple[str, Any], ...]:
        """Each data set with each value of the sweep that it is run at, values outermost; None without a sweep."""
        values = (None,) if self.sweep is None else self.sweep.values
        return tuple((data, value) for value in values for data in self.data if value in self.points_of(data))

    @property
    def table_stem(self) -> str:
        """The name of the table's files, without their endings."""
        return "table" if self.ledger is None else self.path.stem

    @property
    def independent(self) -> bool:
        """Whether a mean over the data sets has an interval: none shares its test rows or its models with another."""
        rows = {frozenset(one.rows().items()) for one in self.data.values()}
        return self.sweep is None and not self.transfer and len(rows) == len(self.data)

    def points_of(self, data: str) -> tuple[Any, ...]:
        """The values of the sweep that a data set is run at; one None without a sweep."""
        if self.sweep is None:
            return (None,)
        own = self.data[data].points
        return self.sweep.values if own is None else tuple(value for value in self.sweep.values if value in own)

    def label(self, data: str, point: Any) -> str:
        """The name in the table of a data set at a value of the sweep."""
        return data if self.sweep is None else labelled(data, self.sweep.key, point)

    def seeds_of(self, method: str, data: str) -> tuple[int, ...]:
        """The seeds of a method on a data set: those it has there, else its own, else the suite's."""
        own = self.data[data].seeds_here.get(method, self.methods[method].seeds)
        return self.seeds if own is None else own

    def with_seeds(self, seeds: Sequence[int]) -> "Suite":
        """The same with other seeds; a method with seeds of its own keeps those among them. Nothing is claimed then.

        Raises:
            ValueError: seeds that are none.
        """
        chosen = _seeds(list(dict.fromkeys(seeds)), "--seeds")

        def kept(own: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(seed for seed in own if seed in seeds)

        methods = {
            name: part if part.seeds is None else replace(part, seeds=kept(part.seeds))
            for name, part in self.methods.items()
        }
        data = {
            name: replace(part, seeds_here={method: kept(own) for method, own in part.seeds_here.items()})
            for name, part in self.data.items()
        }
        table = replace(self.table, rivals=(), variants=())
        return replace(self, seeds=chosen, methods=methods, data=data, table=table)


def labelled(data: str, key: str, value: Any) -> str:
    """The name of a data set at a value of a sweep's setting.

    >>> labelled("sst", "train.lr", 1e-4)
    'sst@lr=0.0001'
    """
    return f"{data}@{key.rpartition('.')[2]}={value}"


_RUNS = ("base", "data", "methods", "seeds", "set", "sweep", "transfer", "grid")
_KEYS = ("output", *_RUNS, "references", "table", "ledger", "chosen")


@dataclass(frozen=True)
class _File:
    """The file that is read, and the folders in which it may name recipes."""

    path: Path
    folders: Sequence[str] = ()

    def __str__(self) -> str:
        return str(self.path)

    def recipe(self, name: str, key: str) -> Path:
        """A file relative to this one, else the recipe of that name."""
        where = f"{self}: {key}"
        beside = Path(os.path.normpath(self.path.parent / expand(name, where)))
        if beside.is_file():
            return beside
        if name.endswith(".yaml"):
            raise ValueError(f"{where}: {beside}: no such file")
        return find_recipe(name, self.folders, key=f"{where}:")

    def result(self, name: str, key: str) -> Path:
        """A file of results, relative to this one; to the current folder for a suite of the package, as in a clone."""
        folder = self.path.parent
        if folder.is_relative_to(PACKAGED):
            folder = Path("recipes", folder.relative_to(PACKAGED))
        return Path(os.path.normpath(folder / expand(name, f"{self}: {key}")))


def read_suite(where: str, folders: Sequence[str] = ()) -> Suite:
    """The suite that a YAML file describes (docs/suites.md), found by its path or its name.

    Recipes in it are paths relative to the file, or names: of the `folders`, then of the package.

    Raises:
        ValueError: one line naming file, key, what was found and what was expected.
    """
    path = find_recipe(where, folders, inside=SUITES, key="suite")
    file = _File(path, folders)
    entries = read_mapping(read_yaml(path), where, _KEYS)
    for key in ("data", "methods"):
        if not entries.get(key):
            raise ValueError(f"{where}: {key} is {entries.get(key)!r}, expected one name or more")
    data, methods = (_recipes(entries[key], file, key) for key in ("data", "methods"))
    references = entries.get("references", next((name for name, one in methods.items() if not one.control), None))
    table = read_table(read_mapping(entries.get("table") or {}, f"{where}: table", TABLE_KEYS), where)
    grid = read_grid(entries.get("grid"), list(methods), list(data), where)
    for key, wanted in (("transfer", False), ("ledger", True)):
        if grid is not None and bool(entries.get(key)) != wanted:
            raise ValueError(
                f"{where}: {key} is {entries.get(key)!r}, expected {'one' if wanted else 'none'} with a grid"
            )
    for method, part in methods.items():
        if part.chosen is not None and entries.get("chosen") is None:
            raise ValueError(
                f"{where}: methods.{method}.chosen is {part.chosen!r}, expected none without a file `chosen`"
            )
    sweep = _sweep(entries.get("sweep"), where)
    _check_data(data, sweep, methods, entries.get("ledger"), where)
    suite = Suite(
        path=path,
        output=_output(entries.get("output"), path, where),
        base=_files(entries.get("base", []), file, "base"),
        data=data,
        methods=methods,
        seeds=_seeds(entries.get("seeds", [0]), where),
        settings=read_settings(entries.get("set"), f"{where}: set", of_runs=True),
        sweep=sweep,
        transfer=_recipes(entries.get("transfer") or {}, file, "transfer"),
        grid=grid,
        references=references,
        table=table,
        ledger=_file(entries.get("ledger"), file, "ledger", ".jsonl"),
        chosen=_file(entries.get("chosen"), file, "chosen", ".json"),
    )
    _check_table(suite, where)
    return suite


def _check_table(suite: Suite, where: str) -> None:
    """Refuses a table of what the suite does not have."""
    table, methods = suite.table, suite.methods
    if suite.ledger is not None and table.convention == "eraser":
        raise ValueError(f"{where}: table.convention is 'eraser', expected strict or paper with a ledger")
    against = [("table.against", name) for name in table.against]
    rivals = [("table.rivals", name) for name in table.rivals]
    if rivals and (len(against) != 1 or suite.chosen is None):
        raise ValueError(f"{where}: table.rivals is set, expected one table.against and a file `chosen` with it")
    if set(table.against) & set(table.rivals):
        raise ValueError(f"{where}: table.rivals has {table.against[0]!r}, expected others than table.against")
    # The rivals of a grid may be among the trials alone: which of them dev picks decides what it must hold.
    for key, name in (("references", suite.references), *against, *([] if suite.grid else rivals)):
        if name is not None and (not isinstance(name, str) or name not in methods):
            raise ValueError(f"{where}: {key} is {name!r}, expected a method or null{suggest(str(name), methods)}")
    for name in table.shaped:
        if name not in suite.data:
            raise ValueError(f"{where}: table.shaped is {name!r}, expected a data set{suggest(name, suite.data)}")
    if rivals and not suite.independent:
        raise ValueError(
            f"{where}: table.rivals is set, expected data sets of different rows, without sweep or transfer: what is "
            "said of their mean takes them for independent"
        )


def _output(content: Any, path: Path, where: str) -> Path:
    given = f"runs/{path.stem}" if content is None else content
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"{where}: output is {given!r}, expected the name of a folder")
    return Path(expand(given, f"{where}: output"))


def _check_data(
    data: Mapping[str, Recipe], sweep: Sweep | None, methods: Mapping[str, Recipe], ledger: Any, where: str
) -> None:
    """Refuses values that the sweep lacks, seeds of a method that the suite lacks, and groups of rows without a ledger.

    Without one, intervals are made from predictions, and not from its row values.
    """
    for name, part in data.items():
        for value in part.points or ():
            if sweep is None or value not in sweep.values:
                raise ValueError(f"{where}: data.{name}.sweep has {value!r}, expected values of the suite's sweep")
        for method in part.seeds_here:
            if method not in methods:
                hint = suggest(method, methods)
                raise ValueError(f"{where}: data.{name}.seeds names {method!r}, expected methods{hint}")
        if part.groups is not None and ledger is None:
            raise ValueError(f"{where}: data.{name}.groups is {part.groups!r}, expected none without a ledger")


def _recipes(content: Any, file: _File, key: str) -> dict[str, Recipe]:
    where = f"{file}: {key}"
    if not isinstance(content, dict):
        raise ValueError(f"{where} holds {type(content).__name__}, expected names with their configuration files")
    return {_name(name, where): _recipe(entry, file, f"{key}.{name}") for name, entry in content.items()}


def _name(name: Any, where: str) -> str:
    """A name that can also be a folder's."""
    text = str(name)
    if not text or text.startswith(".") or any(c in '/\\{}:@"$' or not c.isprintable() for c in text):
        raise ValueError(f'{where}: name {text!r}, expected one without / \\ {{ }} : @ " $ and no dot in front')
    if " to " in text or " on " in text:  # a transfer and a cell of a grid are called so
        raise ValueError(f"{where}: name {text!r}, expected one without the words 'to' and 'on' between spaces")
    return text


def _recipe(entry: Any, file: _File, key: str) -> Recipe:
    where = f"{file}: {key}"
    if isinstance(entry, (str, list)):
        return Recipe(configs=_files(entry, file, key))
    of_data = key.startswith("data.")
    of_method = ["control", "seeds", "chosen"] if key.startswith("methods.") else []
    more = ["sweep", "seeds", "groups"] if of_data else of_method
    entries = read_mapping(entry, where, ("config", "set", *more))
    control = entries.get("control", False)
    if not isinstance(control, bool):
        raise ValueError(f"{where}.control is {control!r}, expected true or false")
    seeds, here = entries.get("seeds"), entries.get("seeds", {}) if of_data else {}
    if not isinstance(here, dict):
        raise ValueError(f"{where}.seeds is {here!r}, expected methods with their seeds")
    return Recipe(
        configs=_files(entries.get("config", []), file, f"{key}.config"),
        settings=read_settings(entries.get("set"), f"{where}.set", of_runs=True),
        control=control,
        seeds=None if of_data or seeds is None else _seeds(seeds, where),
        chosen=None if entries.get("chosen") is None else str(entries["chosen"]),
        points=read_different(entries["sweep"], f"{where}.sweep") if "sweep" in entries else None,
        seeds_here={str(name): () if own == [] else _seeds(own, f"{where}.seeds.{name}") for name, own in here.items()},
        groups=_pattern(entries.get("groups"), f"{where}.groups"),
    )


def _pattern(content: Any, where: str) -> str | None:
    try:
        return None if content is None else re.compile(content).pattern
    except (re.error, TypeError) as error:
        raise ValueError(f"{where} is {content!r}, expected a regular expression ({error})") from None


def _files(entry: Any, file: _File, key: str) -> tuple[Path, ...]:
    names = [entry] if isinstance(entry, str) else entry
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{file}: {key} is {entry!r}, expected a file or a list of files")
    return tuple(file.recipe(name, key) for name in names)


def _seeds(content: Any, where: str) -> tuple[int, ...]:
    good = isinstance(content, list) and content and all(type(seed) is int and 0 <= seed < 2**32 for seed in content)
    if not good or len(set(content)) != len(content):
        raise ValueError(f"{where}: seeds is {content!r}, expected different whole numbers from 0 to {2**32 - 1}")
    return tuple(content)


def _file(content: Any, file: _File, key: str, ending: str) -> Path | None:
    if content is None:
        return None
    if not isinstance(content, str) or not content.endswith(ending):
        raise ValueError(f"{file}: {key} is {content!r}, expected the name of a {ending} file")
    return file.result(content, key)


def _sweep(content: Any, where: str) -> Sweep | None:
    if content is None:
        return None
    entries = read_mapping(content, f"{where}: sweep", ("key", "values"))
    key, values = entries.get("key"), entries.get("values")
    if not isinstance(key, str):
        raise ValueError(f"{where}: sweep.key is {key!r}, expected a setting, such as data.gold_share")
    check_key(key, f"{where}: sweep.key")
    return Sweep(key=key, values=read_different(values, f"{where}: sweep.values"))
