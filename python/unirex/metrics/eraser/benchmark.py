"""Scores of ERASER results by the benchmark's own conventions (DeYoung et al. 2020), as its scorer writes them.

Imports nothing heavy: scoring ten thousand instances takes less time than importing numpy would.
"""

import glob
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

from unirex import _rust
from unirex.metrics.cluster import Engine, map_on_ray, on_ray

PathLike = str | os.PathLike[str]

IOU_THRESHOLDS = (0.5,)
ODD = ("the classification is not the class with the highest score", "class scores do not sum to 1")
"""What instances are counted for by convention `eraser`, and refused for by `strict`."""
AOPC_THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.5)


class Settings(TypedDict, total=False):
    """Settings of `score_eraser`.

    Attributes:
        iou_thresholds: a predicted span matches from this intersection over union on; (0.5,) by default.
        aopc_thresholds: which entries of `thresholded_scores` to average over; `AOPC_THRESHOLDS` by default.
        threads: how many; None, the default, is that of `OMP_NUM_THREADS`, else one per core. Scores do not depend on
            it.
    """

    iou_thresholds: Sequence[float]
    aopc_thresholds: Sequence[float]
    threads: int | None


def score_eraser(
    results: PathLike | Sequence[PathLike],
    data_dir: PathLike,
    split: str,
    *,
    progress: Callable[[int, int], None] | None = None,
    engine: Engine = "local",
    **settings: Unpack[Settings],
) -> dict[str, Any]:
    """The scores of ERASER results in the structure and under the keys of the benchmark's own scorer.

    Its numbers to 1e-9, its quirks included (docs/eraser.md lists them): the first instance decides which blocks
    appear, recall can exceed 1, an instance without evidence has an AUPRC of 0.5. NaN and infinities are floats here.
    Class scores that look wrong are scored as there, and counted in a `UserWarning`.

    Args:
        results: a file, glob pattern or list of them: one JSON object a line, also gzip or Zstandard; `-` is the
            standard input.
        data_dir: folder with `SPLIT.jsonl` and `docs.jsonl` or `docs/`.
        split: the annotations to score against.
        progress: called with the instances done and the number of annotations.
        engine: `local`, or `ray` to score every file of results on a Ray cluster (extra `ray`); equal to 1e-12.
        settings: thresholds and threads; see `Settings`.

    Raises:
        ValueError: what is wrong, in one line with file, line and field; also what makes the benchmark's scorer fail.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     d = Path(folder)
    ...     _ = (d / "docs.jsonl").write_text('{"docid": "a", "document": "good film"}')
    ...     evidence = '{"text": "good", "docid": "a", "start_token": 0, "end_token": 1}'
    ...     annotation = '{"annotation_id": "a", "query": "", "classification": "POS", "evidences": [[%s]]}'
    ...     _ = (d / "test.jsonl").write_text(annotation % evidence)
    ...     rationale = '{"docid": "a", "soft_rationale_predictions": [0.9, 0.2]}'
    ...     _ = (d / "results.jsonl").write_text('{"annotation_id": "a", "rationales": [%s]}' % rationale)
    ...     score_eraser(d / "results.jsonl", d, "test")
    {'token_soft_metrics': {'auprc': 1.0, 'average_precision': 1.0, 'roc_auc_score': 1.0}}
    """
    how = _Scoring(
        results=tuple(files(results)),
        data_dir=Path(data_dir),
        split=split,
        iou_thresholds=tuple(map(float, settings.get("iou_thresholds", IOU_THRESHOLDS))),
        aopc_thresholds=tuple(map(float, settings.get("aopc_thresholds", AOPC_THRESHOLDS))),
        threads=settings.get("threads"),
    )
    if on_ray(engine):
        refuse_streams(how.results)
        scorer = how.scorer(part=())
        for part in map_on_ray(how._replace(threads=1).part, how.results):
            scorer.merge_part(part)
            if progress is not None:
                progress(*scorer.progress())
    else:
        scorer = how.scorer()
        while scorer.step():
            if progress is not None:
                progress(*scorer.progress())
    found = _named(scorer.scores(), how)
    instances, _ = scorer.progress()
    for count, what in zip(scorer.odd(), ODD, strict=True):
        if count:
            warnings.warn(f"{how.results[0]}: {count} of {instances} instances: {what}", stacklevel=2)
    return found


class _Scoring(NamedTuple):
    """What to score and how, for this process or another. A dataclass would cost the command a tenth of its time."""

    results: tuple[Path, ...]
    data_dir: Path
    split: str
    iou_thresholds: tuple[float, ...]
    aopc_thresholds: tuple[float, ...]
    threads: int | None

    def scorer(self, part: Sequence[Path] | None = None) -> _rust.EraserScorer:
        """A scorer of all files, or of a part of them."""
        return _rust.EraserScorer(
            self.results,
            self.data_dir,
            self.split,
            iou_thresholds=self.iou_thresholds,
            aopc_thresholds=self.aopc_thresholds,
            threads=self.threads,
            part=part,
        )

    def part(self, path: Path) -> bytes:
        """What one of the files adds up to."""
        scorer = self.scorer([path])
        while scorer.step():
            pass
        return scorer.part()


def _named(scores: tuple[Any, ...], how: _Scoring) -> dict[str, Any]:
    """Scores in the structure and under the keys of the benchmark's own scorer."""
    hard, (tokens, sentences), classes, shifts, points = scores
    found: dict[str, Any] = {}
    if hard is not None:
        found["iou_scores"] = [
            {"threshold": threshold, "micro": _prf(*over_all), "macro": _prf(*over_documents)}
            for threshold, (over_all, over_documents) in zip(how.iou_thresholds, hard[2], strict=True)
        ]
        for name, (over_all, means) in zip(("rationale_prf", "token_prf"), hard, strict=False):
            found[name] = {"instance_micro": _prf(*over_all), "instance_macro": dict(zip(_PRF, means, strict=True))}
    for name, ranks in (("token_soft_metrics", tokens), ("sentence_soft_metrics", sentences)):
        if ranks is not None:
            found[name] = dict(zip(("auprc", "average_precision", "roc_auc_score"), ranks, strict=True))
    if classes is not None:
        found["classification_scores"] = _class_scores(classes) | _faithfulness(shifts, points, how)
    return found


_PRF = ("p", "r", "f1")
_REPORT = ("precision", "recall", "f1-score", "support")


def _prf(p: float, r: float, f1: float) -> dict[str, float]:
    """The whole number 0 for an F1 of 0, except in a mean."""
    return {"p": p, "r": r, "f1": f1 or 0}


def _class_scores(scores: tuple[float, list[tuple[str, list[float]]], list[list[float]]]) -> dict[str, Any]:
    accuracy, classes, means = scores
    # A class may have the name of a mean: the later entry is the one that counts.
    prf: dict[str, Any] = {name: dict(zip(_REPORT, row, strict=True)) for name, row in classes}
    prf["accuracy"] = accuracy
    for name, row in zip(("macro avg", "weighted avg"), means, strict=True):
        prf[name] = dict(zip(_REPORT, row, strict=True))
    return {"accuracy": accuracy, "prf": prf}


def _faithfulness(shifts: Any, points: Any, how: _Scoring) -> dict[str, Any]:
    sides = ("comprehensiveness", "sufficiency")
    means = [[None] * 3 if shift is None else shift for shift in shifts]
    found: dict[str, Any] = {side: drop for side, (drop, _, _) in zip(sides, means, strict=True)}
    for side, (_, entropy, divergence) in zip(sides, means, strict=True):
        found |= {f"{side}_entropy": entropy, f"{side}_kl": divergence}
    found["aopc_thresholds"] = None if points is None else list(how.aopc_thresholds)
    for side, (values, mean) in zip(sides, points or [(None, None)] * 2, strict=True):
        found |= {f"{side}_aopc": mean, f"{side}_aopc_points": values}
    return found


def refuse_streams(results: Sequence[Path]) -> None:
    """Fails for results that only this process can read.

    Raises:
        ValueError: the standard input or a pipe.
    """
    for path in results:
        if not path.is_file():
            raise ValueError(f"{path}: only this process can read it, expected a file for engine ray")


def files(results: PathLike | Sequence[PathLike]) -> list[Path]:
    """The files that a name, a glob pattern or a list of them stands for.

    Raises:
        FileNotFoundError: a name or pattern of no file.
        ValueError: a URL.

    >>> files("/nowhere/*.jsonl")
    Traceback (most recent call last):
    FileNotFoundError: /nowhere/*.jsonl: no such file
    """
    if not isinstance(results, str | os.PathLike):
        return [path for part in results for path in files(part)]
    if "://" in os.fspath(results):
        raise ValueError(f"{results}: results in the ERASER layout are read from local files, found a URL")
    path = Path(results)
    if str(results) == "-" or path.exists():
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(results), recursive=True))  # noqa: PTH207 (absolute patterns)
    if not found:
        raise FileNotFoundError(f"{results}: no such file")
    return found
