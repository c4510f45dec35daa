"""A trained model with what its run has left: asked, judged on other data, and reported."""

import glob
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unirex.api.tables import Given, as_yaml, check_sections, given
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_yaml
from unirex.metrics import Report, score

if TYPE_CHECKING:
    from unirex.explainer import ExplainedText, Explainer
    from unirex.report import RunReport


def _alone(path: str) -> bool:
    """Whether data are one split: a file, files by a pattern, or a folder of `save_to_disk` without splits."""
    if "{split}" in path:
        return False
    place = Path(path)
    return place.is_file() or (place / "state.json").is_file() or (not place.exists() and glob.has_magic(path))


class Trained:
    """A model that was trained, by `unirex.train` or by the command, and its run.

    Attributes:
        folder: of the run.
        files: the files in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.files = RunFolder(folder)
        if not self.files.model.is_dir():
            raise ValueError(f"{folder}: there is no model, expected the folder of a run")

    @cached_property
    def explainer(self) -> "Explainer":
        """The model as an `Explainer`, on a GPU if there is one."""
        from unirex.explainer import Explainer

        return Explainer.from_pretrained(self.folder)

    def explain(self, texts: Any, **settings: Any) -> "ExplainedText | list[ExplainedText]":
        """The answer for a text (a pair, a row), or a list of the answers for several.

        Args:
            texts: as for `unirex.Explainer`, or a column of a table, or the table.
            **settings: fraction, threshold, faithfulness and so on (`unirex.explainer.ExplainConfig`).
        """
        from unirex.explainer import ExplainedText

        found = self.explainer(texts, **settings)
        return found if isinstance(found, ExplainedText) else list(found)

    def evaluate(
        self,
        data: Any,
        /,
        *,
        columns: Mapping[str, Any] | None = None,
        output: str | Path | None = None,
        **sections: Mapping[str, Any],
    ) -> Report:
        """The metrics of the model on other data, all of which is judged if it has no splits.

        Of the file that it was trained on, the rows are judged that were drawn as its test split.

        Args:
            data: as for `unirex.train`.
            columns: which columns of a table hold what; default: as in training, as far as the table has them.
            output: folder for predictions and controls; default: `evaluation` in that of the run, written again each
                time.
            **sections: `data` and `eval`, as in the YAML of a run.

        Raises:
            ValueError: bad input or settings, in one line.
        """
        from unirex.evaluate import check_output, parse, run

        check_sections({**sections, "columns": columns})
        place = RunFolder(output or self.folder / "evaluation")
        found = replace(given(data, alone="test"), needed=("text",))
        inherited, hub = self._inherited(found, columns or {})
        if found.path is not None and _alone(found.path) and not self._trained_on(found.path):
            hub["splits"] = {"test": "train"}  # by itself it is the split train
        content: dict[str, Any] = dict(sections)
        more = {**inherited, **sections.get("data", {})}
        staged = place.tables.with_name("tables.judged")
        content["data"] = found.settings(staged, {**hub, **(columns or {})}, more)
        with TemporaryDirectory() as temporary:
            own = as_yaml(content, Path(temporary) / "settings.yaml")
            files = [*([] if found.config is None else [found.config]), own]
            words = [f"--model={self.folder}", f"--output={place}", *(f"--config={file}" for file in files)]
            request = parse(words)
        check_output(request)
        with found.written(staged, place.tables):
            run(request)
        return score(place.predictions)

    def _inherited(self, found: Given, columns: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings of `data` and `data.hub` in training that hold for another table too.

        Others follow from its own columns: gold, where this table has it elsewhere, or its texts have no marks in them.
        """
        stored = self._stored()
        if not found.cells or stored.get("source") != "hub":
            return {}, {}
        kept = {key: stored[key] for key in ("query", "choices", "rename_labels", "headline", "seed")}
        there = set(found.cells)
        hub: dict[str, Any] = {k: v for k, v in stored["hub"].items() if k not in ("subset", "revision", "splits")}
        hub["gold_pair"] = [column for column in hub["gold_pair"] if column in there]
        gold = [column for column in hub["gold"] if column in there]
        in_text = hub["gold_format"] == "marked" and gold == [hub["text"]]
        unmarked = in_text and not found.contains(hub["text"], hub["marks"][0])
        if unmarked or "gold" in columns or (hub["gold"] and not gold):
            del hub["gold"], hub["gold_format"]
        else:
            hub["gold"] = gold
        text = found.cells.get(columns.get("text", hub["text"]))
        if text is not None and isinstance(text, list) != (hub["words"] == "list"):
            del hub["words"]
        for column in ("label", "id"):
            if hub[column] is not None and hub[column] not in there:  # perhaps under another usual name
                del hub[column]
        return kept, hub

    def _stored(self) -> dict[str, Any]:
        """The settings of `data` in training."""
        return read_yaml(self.files.config)["data"] if self.files.config.exists() else {}

    def _trained_on(self, path: str) -> bool:
        stored = self._stored().get("path")
        return stored is not None and Path(path).resolve() == Path(stored).resolve()

    def report(self) -> "RunReport":
        """The report of the run, which shows itself in a notebook (docs/report.md; extra `report`)."""
        from unirex.report import build

        return build(self.folder)

    def __repr__(self) -> str:
        return f"<Trained {str(self.folder)!r}>"
