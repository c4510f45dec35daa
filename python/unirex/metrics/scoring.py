"""From the rows of a system to its report."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypedDict, Unpack, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex.metrics.batch import Batch, hash_ids
from unirex.metrics.cluster import SHARDS_PER_CPU, Engine, map_on_ray, n_cpus, on_ray
from unirex.metrics.definitions import PERTURBED, Convention, as_convention, as_thresholds
from unirex.metrics.layout import Layout
from unirex.metrics.parser import Parser, full_column
from unirex.metrics.report import Report
from unirex.metrics.rows import row_values
from unirex.metrics.source import Shard, Source, System, missing_column, open_source
from unirex.metrics.state import Resampling, State
from unirex.schema import perturbed_column
from unirex.text import brief, shown, suggest

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A source with the decisions about it: all that a worker needs to score a part of it."""

    source: Source
    layout: Layout
    resampling: Resampling
    scorer: str = "self"

    def parser(self) -> Parser:
        """What reads the source's rows."""
        return Parser(self.layout, scorer=self.scorer, choice=self.source.header.choice)

    def state(self) -> State:
        """An empty state."""
        return State(self.layout, self.resampling, self.parser())

    def rows(self) -> Iterator[tuple[Batch, NDArray[np.float64]]]:
        """The source's rows by batches, checked, and their values (`row_values`), [columns, N]."""
        parser = self.parser()
        for where, part in self.source.batches(parser.columns()):
            batch = parser.parse(part, where)
            if len(batch):
                yield batch, row_values(batch, self.layout)


class Reading(TypedDict, total=False):
    """How predictions are read.

    Attributes:
        perturbation: which of the file's perturbations, the default one first; None = all, `attention` first.
        scorer: the model whose probabilities are used: `self` (the default) or a check model of the file.
        iou_thresholds: a span matches from this intersection over union on, each in (0, 1]; (0.5,) by default.
        columns: our column name -> name in the file, for files that others wrote.
        labels: class names in the order of the probabilities, for files without our header.
    """

    perturbation: str | Sequence[str] | None
    scorer: str
    iou_thresholds: Sequence[float]
    columns: Mapping[str, str] | None
    labels: Sequence[str] | None


def score(
    system: System,
    convention: Convention = "strict",
    *,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
    engine: Engine = "local",
    **reading: Unpack[Reading],
) -> Report:
    """The report on one system's predictions: every metric with direction, counts and bootstrap interval.

    Rows are read in batches, so files may be larger than memory.

    Args:
        system: a prediction file (docs/predictions.md), a directory or glob pattern of its shards, each also as a URL
            that fsspec knows (`s3://`, `hf://`), a list of shards, or a table in memory: a dictionary of columns, a
            list of rows, a data frame of pandas or polars, a `datasets.Dataset`, anything that speaks Arrow. Without a
            column `id` a row of a table is known by its number.
        convention: `strict`, or `paper` for the definitions of Chan et al. 2022.
        resampling: replicates, seed and confidence of the intervals; 1000 replicates by default.
        progress: called with the rows done and the rows in all.
        engine: `local`, or `ray` to score the row groups on a Ray cluster (extra `ray`); the result is the same.
        reading: how the file is read; see `Reading`.

    Raises:
        ValueError: what is wrong, with file, row id and field.
        FileNotFoundError: no such file.

    >>> import pyarrow as pa
    >>> table = pa.table({"id": ["a"], "scores": [[0.9, 0.1]], "gold": [[1.0, 0.0]]})
    >>> score(table)["auprc"].value
    1.0
    """
    made = plan(system, convention, resampling=resampling, **reading)
    return finish(made, run_on(engine, made, progress))


def plan(
    system: System,
    convention: Convention = "strict",
    *,
    resampling: Resampling | None = None,
    **reading: Unpack[Reading],
) -> Plan:
    """The plan for scoring a system: which metrics its columns allow. The arguments are those of `score`.

    `plan(...).state()` makes states that shards, wherever they are scored, are added to and that are then merged.

    >>> import pyarrow as pa
    >>> table = pa.table({"id": ["a", "b"], "scores": [[0.9, 0.1], [0.0, 0.2]], "gold": [[1, 0], [1, 0]]})
    >>> made = plan(table)
    >>> first, second = made.state(), made.state()
    >>> first.update(table[:1].to_batches()[0])
    >>> second.update(table[1:].to_batches()[0])
    >>> first.merge(second)
    >>> finish(made, first)["auprc"].value
    0.625
    """
    for name in sorted(reading.keys() - Reading.__annotations__):
        raise TypeError(f"unexpected argument {name!r}{suggest(name, Reading.__annotations__)}")
    scorer = reading.get("scorer", "self")
    source = open_source(system, columns=reading.get("columns"), labels=reading.get("labels"))
    convention, thresholds = as_convention(convention), as_thresholds(reading.get("iou_thresholds", (0.5,)))
    layout = _layout(source, convention, _perturbations(source, reading.get("perturbation"), scorer), thresholds)
    return Plan(source=source, layout=layout, resampling=resampling or Resampling(), scorer=scorer)


def _layout(
    source: Source,
    convention: Convention,
    perturbations: tuple[tuple[str, frozenset[str]], ...],
    iou_thresholds: tuple[float, ...],
) -> Layout:
    """What the source's columns allow, with a task metric that exists."""
    headline = source.header.headline
    layout = Layout(
        labels=source.header.labels,
        fractions=_fractions(source) if perturbations else (),
        perturbations=perturbations,
        has_label=source.has("label") and source.has("prediction"),
        has_gold=source.has("gold") and (source.has("scores") or source.has("rationale")),
        has_scores=source.has("scores"),
        has_rationale=source.has("rationale"),
        has_cuts=source.has("words_cut") and source.has("gold_cut") and source.has("scores"),
        has_probabilities=source.has("probabilities") and source.has("prediction"),
        has_documents=source.has("documents") and source.has("rationale"),
        has_words=source.has("words") and (source.has("scores") or source.has("rationale")),
        iou_thresholds=iou_thresholds,
        convention=convention,
    )
    names = [definition.name for definition in layout.definitions]
    if not names:
        expected = "scores, a rationale, label beside prediction, or perturbed probabilities"
        hint = "--columns says what they are called in this file"
        raise ValueError(
            f"{source.name}: nothing to score in columns {shown(source.names())}, expected {expected} ({hint})"
        )
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"{source.name}: two metrics are {twice}, expected fractions and iou_thresholds that differ in six digits"
        )
    if layout.has_label and headline is not None and headline not in names:
        hint = suggest(headline, names)
        raise ValueError(f"{source.name}: headline is {headline!r}, expected a task metric{hint}")
    return replace(layout, headline=headline if layout.has_label else None)


def run_on(engine: Engine, made: Plan, progress: Progress | None = None) -> State:
    """The state after all rows of the plan's source, found by this process or by a Ray cluster.

    Raises:
        ValueError: what is wrong with a file, Ray is not installed, or the rows come by a pipe that Ray cannot read.
    """
    if not on_ray(engine):
        return run_plan(made, progress)
    made.source.refuse_streams()
    shards = made.source.shards(SHARDS_PER_CPU * n_cpus())
    whole, total = made.state(), made.source.n_rows()
    for state in map_on_ray(partial(_score_shard, made), shards):
        whole.merge_bytes(state)
        if progress is not None:
            progress(whole.n_rows, total)
    return whole


def _score_shard(made: Plan, shard: Shard) -> bytes:
    return run_plan(made, shard=shard).to_bytes()


def run_plan(made: Plan, progress: Progress | None = None, *, shard: Shard | None = None) -> State:
    """The state after all rows of the plan's source, or of a shard of it."""
    state, total = made.state(), made.source.n_rows()
    for where, batch in made.source.batches(state.parser.columns(), shard=shard):
        state.update(batch, where)
        if progress is not None:
            progress(state.n_rows, total)
    return state


def finish(made: Plan, state: State) -> Report:
    """The report, with what is known about the source; names an id that occurs twice."""
    source = made.source
    if not state.n_rows:
        raise ValueError(f"{source.name}: no rows")
    duplicate = state.duplicate()
    if duplicate is not None:
        raise ValueError(f"{source.name}: {name_duplicate(source, duplicate)}")
    about: dict[str, str | None] = {"source": source.name, **_constants(source)}
    about |= {key: getattr(source.header, key) for key in ("scores_from", "unit", "rationale_rule")}
    if made.layout.perturbations:
        about["perturbation"] = made.layout.perturbations[0][0]
        about["scorer"] = None if made.scorer == "self" else made.scorer
    return replace(state.compute(), about=about)


def scorers(source: Source) -> list[str]:
    """The check models whose answers to perturbed inputs a source has."""
    return sorted({by for _, _, by in _perturbed(source)} - {"self"})


def _perturbed(source: Source) -> Iterator[tuple[str, str, str]]:
    """Kind, way and scorer of each column of perturbed inputs."""
    for column in source.names():
        kind, _, rest = column.partition(".")
        name, _, by = rest.partition(".")
        if kind in PERTURBED and name and by:
            yield kind, name, by


def _perturbations(
    source: Source, wanted: str | Sequence[str] | None, scorer: str
) -> tuple[tuple[str, frozenset[str]], ...]:
    """The perturbations to report and the kinds of columns each has, the default one first."""
    found: dict[str, set[str]] = {}
    for kind, name, by in _perturbed(source):
        if by == scorer:
            found.setdefault(name, set()).add(kind)
    if scorer != "self" and scorer not in (known := scorers(source)):
        expected = f"one of {known}" if known else "none (the file has no check model)"
        raise ValueError(f"{source.name}: no columns of scorer {scorer!r}, expected {expected}")
    names = sorted((name for name in found if found[name] & {"keep", "remove"}), key=lambda name: name != "attention")
    asked = names if wanted is None else [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    for name in asked:
        if name not in names:
            raise ValueError(f"{source.name}: no perturbation {name!r}, expected one of {names}{suggest(name, names)}")
    for column in (full_column(scorer), "prediction", "fractions") if asked else ():
        if not source.has(column):
            raise ValueError(
                f"{missing_column(source, column)} ({perturbed_column('keep', asked[0], scorer)} needs it)"
            )
    return tuple((name, frozenset(found[name])) for name in asked)


def _first(source: Source, columns: list[str]) -> dict[str, Any]:
    for where, batch in source.batches(columns, rows=1):
        try:
            if batch.num_rows:
                return cast("dict[str, Any]", batch.slice(0, 1).to_pylist()[0])
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise ValueError(f"{where}: broken content ({brief(error)})") from error
    raise ValueError(f"{source.name}: no rows")


def _fractions(source: Source) -> tuple[float, ...]:
    found = _first(source, ["fractions"])["fractions"]
    numbers = isinstance(found, list) and all(isinstance(f, int | float) for f in found)
    if not numbers or not found or not all(0 < f <= 1 for f in found) or sorted(set(found)) != found:
        raise ValueError(f"{source.name}: fractions are {found!r}, expected ascending numbers in (0, 1]")
    return tuple(_shortest(float(f)) for f in found)


def _shortest(number: float) -> float:
    """The number that a value in single precision was written as.

    >>> _shortest(0.10000000149011612), _shortest(0.1), _shortest(0.25)
    (0.1, 0.1, 0.25)
    """
    single = np.float32(number)
    return float(str(single)) if float(single) == number else number


def _constants(source: Source) -> dict[str, str | None]:
    columns = [column for column in ("model", "data") if source.has(column)]
    found = _first(source, columns) if columns else {}
    return {column: None if value is None else str(value) for column, value in found.items()}


def name_duplicate(source: Source, duplicate: NDArray[np.uint64]) -> str:
    """The message for an id, given by its hash, that occurs more than once."""
    files: dict[str, int] = {}
    name = ""
    for where, batch in source.batches(["id"]):
        ids = batch.column("id").cast("string")
        for row in np.flatnonzero((hash_ids(ids) == duplicate).all(axis=1)):
            name = ids[int(row)].as_py()
            files[where] = files.get(where, 0) + 1
    return f"row id {shown(name)} occurs {sum(files.values())} times in {' and '.join(files)}, expected once"
