"""ERASER results by the definitions that prediction files are scored by: the same metrics under the same names.

The rows are those of docs/predictions.md as far as the format holds them: `thresholded_scores` are the perturbed
probabilities, its thresholds the fractions. What the format has beyond that becomes metrics of its own: the class
scores at the hard rationale (`comprehensiveness[rationale]`) and the scores of sentences (`sentence_auprc`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics import oddities
from unirex.metrics.batch import Batch, Known
from unirex.metrics.cluster import Engine, map_on_ray, on_ray
from unirex.metrics.definitions import GROUPS, Convention, as_convention, as_thresholds
from unirex.metrics.eraser.benchmark import PathLike, files, refuse_streams
from unirex.metrics.layout import Layout
from unirex.metrics.ragged import Ragged, offsets_of
from unirex.metrics.report import Metric, Report
from unirex.metrics.state import Resampling, State

Arrays = dict[str, Any]

UNSTATED = "unstated"
"""The perturbation: the format does not say how tokens were hidden."""


class RowSettings(TypedDict, total=False):
    """Settings of `score_eraser_rows`.

    Attributes:
        iou_thresholds: a span matches from this intersection over union on, each in (0, 1]; (0.5,) by default.
        aopc_thresholds: which entries of `thresholded_scores` to read; None, the default, reads all that the first
            instance has.
        resampling: replicates, seed and confidence of the intervals; 1000 replicates by default.
    """

    iou_thresholds: Sequence[float]
    aopc_thresholds: Sequence[float] | None
    resampling: Resampling | None


def score_eraser_rows(
    results: PathLike | Sequence[PathLike],
    data_dir: PathLike,
    split: str,
    convention: Convention = "strict",
    *,
    progress: Callable[[int, int], None] | None = None,
    engine: Engine = "local",
    **settings: Unpack[RowSettings],
) -> Report:
    """The report on ERASER results: every metric with direction, counts and bootstrap interval.

    A row is an instance; its words are the tokens of its documents, one after the other. Gold is known where some
    token is marked. A span of the rationale is an unbroken run of tokens of one document. An annotation without an
    instance is an error.

    Args:
        results: a file, glob pattern or list of them: one JSON object a line, also gzip or Zstandard; `-` is the
            standard input.
        data_dir: folder with `SPLIT.jsonl` and `docs.jsonl` or `docs/`.
        split: the annotations to score against.
        convention: `strict`, or `paper` for the definitions of Chan et al. 2022.
        progress: called with the instances done and the number of annotations.
        engine: `local`, or `ray` to score every file of results on a Ray cluster (extra `ray`); the result is the same.
        settings: thresholds and resampling; see `RowSettings`.

    Raises:
        ValueError: what is wrong, in one line with file, line and field.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     d = Path(folder)
    ...     _ = (d / "docs.jsonl").write_text('{"docid": "a", "document": "good film"}')
    ...     evidence = '{"docid": "a", "start_token": 0, "end_token": 1}'
    ...     annotation = '{"annotation_id": "a", "classification": "POS", "evidences": [[%s]]}'
    ...     _ = (d / "test.jsonl").write_text(annotation % evidence)
    ...     rationale = '{"docid": "a", "soft_rationale_predictions": [0.2, 0.9]}'
    ...     _ = (d / "results.jsonl").write_text('{"annotation_id": "a", "rationales": [%s]}' % rationale)
    ...     score_eraser_rows(d / "results.jsonl", d, "test")["average_precision"].value
    0.5
    """
    convention, iou_thresholds = as_convention(convention), as_thresholds(settings.get("iou_thresholds", (0.5,)))
    aopc_thresholds, paths = settings.get("aopc_thresholds"), tuple(files(results))
    how = _Scoring(
        results=paths,
        data_dir=Path(data_dir),
        split=split,
        convention=convention,
        iou_thresholds=iou_thresholds,
        aopc_thresholds=None if aopc_thresholds is None else tuple(aopc_thresholds),
        resampling=settings.get("resampling") or Resampling(),
    )
    if on_ray(engine):
        refuse_streams(paths)
        reader, parts, states = _on_ray(how, progress)
    else:
        reader, parts, states = how.open()
        _add(reader, parts, states, progress)
    reports = [state.compute() for state in states]
    metrics = [part.renamed(m) for part, report in zip(parts, reports, strict=True) for m in report.metrics]
    metrics.sort(key=lambda metric: GROUPS.index(metric.group))
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    headline = "accuracy" if "prediction" in reader.fields else None
    fractions = tuple(reader.thresholds)
    about = {"source": name, "data": f"{data_dir} {split}"}
    odd = oddities.notes(states[0].odd, states[0].n_rows)
    return replace(reports[0], metrics=tuple(metrics), headline=headline, fractions=fractions, about=about, odd=odd)


@dataclass(frozen=True, kw_only=True)
class _Scoring:
    """What to score and how, for this process or another."""

    results: tuple[Path, ...]
    data_dir: Path
    split: str
    convention: Convention
    iou_thresholds: tuple[float, ...]
    aopc_thresholds: tuple[float, ...] | None
    resampling: Resampling

    def open(self, part: Sequence[Path] | None = None) -> tuple[_rust.EraserRows, list["_Part"], list[State]]:
        """A reader of all files or of a part of them, the parts of the metrics, and their empty states."""
        reader = _rust.EraserRows(
            self.results,
            self.data_dir,
            self.split,
            thresholds=self.aopc_thresholds,
            part=part,
            strict=self.convention == "strict",
        )
        metrics = [some for some in _parts(reader, self.convention, self.iou_thresholds) if some.layout.definitions]
        if not metrics:
            raise ValueError(f"{self.results[0]}: nothing to score in fields {reader.fields}")
        return reader, metrics, [State(some.layout, self.resampling) for some in metrics]

    def part(self, path: Path) -> list[bytes]:
        """What one of the files adds up to: the instances met, and the states."""
        reader, parts, states = self.open([path])
        _add(reader, parts, states)
        return [reader.part(), *(state.to_bytes() for state in states)]


def _on_ray(
    how: _Scoring, progress: Callable[[int, int], None] | None
) -> tuple[_rust.EraserRows, list["_Part"], list[State]]:
    reader, parts, states = how.open(part=())
    for seen, *found in map_on_ray(how.part, how.results):
        reader.merge_part(seen)
        for state, content in zip(states, found, strict=True):
            state.merge_bytes(content)
        if progress is not None:
            progress(states[0].n_rows, reader.total)
    reader.finish()
    return reader, parts, states


def _add(
    reader: _rust.EraserRows,
    parts: list["_Part"],
    states: list[State],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Adds all rows of the reader to the states."""
    while (arrays := reader.step()) is not None:
        ids = _rust.hash_ids(arrays["ids"], offsets_of(arrays["id_lengths"])).reshape(-1, 2)
        for part, state in zip(parts, states, strict=True):
            state.update(part.batch(arrays, ids))
        states[0].doubt(dict(zip(("prediction", "sums"), arrays["odd"], strict=True)))
        if progress is not None:
            progress(states[0].n_rows, reader.total)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Some of the metrics: their layout, their rows, and what their names become."""

    layout: Layout
    batch: Callable[[Arrays, NDArray[np.uint64]], Batch]
    renamed: Callable[[Metric], Metric]


def _parts(reader: _rust.EraserRows, convention: Convention, iou_thresholds: tuple[float, ...]) -> list[_Part]:
    main = _main_layout(reader, convention, iou_thresholds)
    rationale = _rationale_layout(reader, convention)
    has_sentences = "sentences" in reader.fields
    sentences = Layout(has_gold=has_sentences, has_scores=has_sentences, convention=convention)
    # At one fraction the metric of that fraction is the one wanted: the AOPC of `paper` would halve it.
    at_rationale = frozenset(d.name for d in rationale.definitions if d.name.endswith("@1"))
    ranked = frozenset({"auprc", "average_precision", "roc_auc"})
    return [
        _Part(layout=main, batch=lambda a, ids: _main(a, ids, main), renamed=lambda m: m),
        _Part(
            layout=replace(rationale, only=at_rationale),
            batch=lambda a, ids: _at_rationale(a, ids, rationale),
            renamed=lambda m: replace(m, name=m.name.removesuffix("@1") + "[rationale]", main=m.name in _SHORT),
        ),
        _Part(
            layout=replace(sentences, only=ranked),
            batch=_sentences,
            renamed=lambda m: replace(m, name=f"sentence_{m.name}"),
        ),
    ]


def _main_layout(reader: _rust.EraserRows, convention: Convention, iou_thresholds: tuple[float, ...]) -> Layout:
    """What prediction files have as well."""
    fields = set(reader.fields)
    thresholds = tuple(reader.thresholds) if {"prediction", "probabilities"} <= fields else ()
    return Layout(
        labels=tuple(reader.labels),
        fractions=thresholds,
        perturbations=((UNSTATED, frozenset({"remove", "keep"})),) if thresholds else (),
        has_label="prediction" in fields,
        has_gold="scores" in fields or "rationale" in fields,
        has_scores="scores" in fields,
        has_rationale="rationale" in fields,
        iou_thresholds=iou_thresholds,
        convention=convention,
    )


def _rationale_layout(reader: _rust.EraserRows, convention: Convention) -> Layout:
    """The class scores at the hard rationale, as those of the one fraction 1."""
    fields = set(reader.fields)
    sides = {"remove", "keep"} & fields if {"prediction", "probabilities"} <= fields else set()
    return Layout(
        labels=tuple(reader.labels),
        fractions=(1.0,),
        perturbations=((UNSTATED, frozenset(sides)),) if sides else (),
        convention=convention,
    )


_SHORT = ("comprehensiveness@1", "sufficiency@1", "csd@1")


def _main(arrays: Arrays, ids: NDArray[np.uint64], layout: Layout) -> Batch:
    offsets, scores, gold = offsets_of(arrays["lengths"]), arrays["scores"], arrays["gold"]
    return Batch(
        hashes=ids,
        label=arrays["label"] if layout.has_label else None,
        prediction=arrays["prediction"] if layout.has_label else None,
        probabilities=_classes(arrays["probabilities"], len(ids)) if layout.perturbations else None,
        perturbed=_perturbed(arrays, "_at", len(ids), layout),
        scores=Ragged(scores, offsets) if layout.has_scores else None,
        rationale=Ragged(arrays["rationale"], offsets) if layout.has_rationale else None,
        gold=Known(rows=Ragged(gold, offsets), known=arrays["gold_known"]) if layout.has_gold else None,
        borders=np.cumsum(arrays["document_lengths"]),
        odd=oddities.of_scores(Ragged(scores, offsets)) if layout.has_scores else {},
    )


def _at_rationale(arrays: Arrays, ids: NDArray[np.uint64], layout: Layout) -> Batch:
    return Batch(
        hashes=ids,
        prediction=arrays["prediction"],
        probabilities=_classes(arrays["probabilities"], len(ids)),
        perturbed=_perturbed(arrays, "", len(ids), layout),
    )


def _sentences(arrays: Arrays, ids: NDArray[np.uint64]) -> Batch:
    offsets, scores, gold = offsets_of(arrays["sentence_lengths"]), arrays["sentence_scores"], arrays["sentence_gold"]
    known = _rust.rationale_length(gold, offsets) > 0
    return Batch(hashes=ids, scores=Ragged(scores, offsets), gold=Known(rows=Ragged(gold, offsets), known=known))


def _perturbed(arrays: Arrays, ending: str, n: int, layout: Layout) -> dict[tuple[str, str], Known]:
    known = np.ones(n, dtype=np.bool_)
    return {
        (kind, how): Known(rows=_classes(arrays[kind + ending], n), known=known)
        for how, kinds in layout.perturbations
        for kind in kinds
    }


def _classes(values: NDArray[np.float64], n: int) -> Ragged:
    """Class scores, as many in every row."""
    return Ragged(values, np.arange(n + 1, dtype=np.int64) * (len(values) // max(n, 1)))
