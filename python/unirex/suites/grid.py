"""The grid of a suite: the scores of some methods judged on the models of others.

On one model, two methods' scores differ in the words alone; by one method's scores, two models differ in how they take
the loss of words. A model trained on random masks (recipe `check`) favors no method's words.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from unirex.config.identity import determining, digest
from unirex.disk.run_folder import RunFolder
from unirex.suites.cells import on
from unirex.suites.override import Override
from unirex.suites.plan import Judged, Planned, Transfer, as_arguments, parsed
from unirex.suites.recipe import Suite


@dataclass(frozen=True, kw_only=True)
class Crossed(Planned):
    """A trained run whose model is judged by the scores of several runs.

    Attributes:
        scores: these runs, of the same data and seed.
    """

    scores: tuple[Planned, ...]

    @property
    def name(self) -> str:
        """Short name in messages."""
        return f"scores on {self.label}/{self.method}/{self.seed}"

    @property
    def needs(self) -> dict[str, Planned]:
        """The runs that must be done before, by name."""
        own = {entry.name: getattr(self, entry.name) for entry in fields(Planned)}
        return {run.name: run for run in (Planned(**{**own, "transfers": ()}), *self.scores)}

    def left(self, lacking: Sequence[Judged], suite: Suite, overrides: Sequence[Override] = ()) -> "Crossed":
        """The judgment by the scores that the ledger lacks alone; all of it where it is done."""
        if len(lacking) == len(self.scores) or all(cell.done() for cell in self.transfers):
            return self
        names = [one.method for one in lacking]
        return _crossed(suite, self, [run for run in self.scores if run.method in names], overrides)

    @property
    def recordable(self) -> Sequence[Judged]:
        """All entries of a judgment that is done."""
        (cell,) = self.transfers
        return self.judged if cell.done() else []

    @property
    def judged(self) -> Sequence[Judged]:
        """An entry for each method's scores."""
        (cell,) = self.transfers
        return [
            Judged(
                label=on(self.label, self.method),
                method=run.method,
                folder=cell.folder,
                source=run.method if number else "",
                config=_determining(self.config, run.config, cell.content["eval"]),
            )
            for number, run in enumerate(self.scores)
        ]


class Cell(Transfer):
    """A model judged by the scores of several runs."""

    def done(self) -> bool:
        """Whether metrics are there that are younger than the model and the scores."""
        made = [*map(Path, self.content["scores"].values()), Path(self.content["model"]) / "config.json"]
        metrics = RunFolder(self.folder).metrics
        return super().done() and all(
            file.is_file() and file.stat().st_mtime_ns <= metrics.stat().st_mtime_ns for file in made
        )


def cross(
    suite: Suite, plan: Sequence[Planned], models: Sequence[str] = (), overrides: Sequence[Override] = ()
) -> list[Crossed]:
    """The models of a suite's grid, each with the runs of the plan whose scores are judged on it.

    Args:
        suite: with a grid.
        plan: all its runs.
        models: only these; none = all.
        overrides: settings that win over those of the grid.
    """
    assert suite.grid is not None
    wanted = [run for run in plan if run.method in suite.grid.of(run.data).models]
    found = []
    for model in (run for run in wanted if run.method in (models or [run.method])):
        of_same = {run.method: run for run in plan if (run.label, run.seed) == (model.label, model.seed)}
        scores = [of_same[name] for name in suite.grid.of(model.data).scores if name in of_same]
        if scores:
            found.append(_crossed(suite, model, scores, overrides))
    return found


def _crossed(suite: Suite, model: Planned, scores: Sequence[Planned], overrides: Sequence[Override]) -> Crossed:
    assert suite.grid is not None
    grid = suite.grid.of(model.data)
    settings = {**grid.settings, **{o.key: o.value for o in overrides if o.holds_for(model.data, model.method)}}
    config = parsed(suite, "grid", [*model.arguments, *as_arguments((), settings)])
    sections = json.loads(json.dumps({"data": asdict(config.data), "eval": asdict(config.eval)}))
    made = digest([_determining(model.config, run.config, sections["eval"]) for run in scores])
    folder = model.folder / "grid" / made[:12]
    content = {
        "model": str(RunFolder(model.folder).model),
        "scores": {run.method: str(RunFolder(run.folder).predictions) for run in scores},
        "output": str(folder),
        **sections,
    }
    own = {entry.name: getattr(model, entry.name) for entry in fields(Planned)}
    cell = Cell(name="grid", folder=folder, content=content)
    return Crossed(**{**own, "transfers": (cell,)}, scores=tuple(scores))


def _determining(model: Mapping[str, Any], scores: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a cell depends on."""
    judged = determining({"eval": evaluation})["eval"]
    return {**determining(model), "grid": {"scores": determining(scores), "eval": judged}}
