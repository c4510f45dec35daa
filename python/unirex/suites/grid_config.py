"""Whose scores a suite judges on whose models: the part `grid` of its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unirex.judging.settings import check_source
from unirex.suites.reading import read_mapping, read_settings
from unirex.text import suggest


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Scores of some methods judged on the models of others: whether words are better, or a model is more fragile.

    Attributes:
        models, scores: names of methods.
        settings: dotted key -> value of the judgment.
        neutral: the model on which words are compared, favoring no method's; None = none is said to be.
        own: of a method that is no model here, the method whose model it explains as its own.
        data: data sets that have other models or scores, and settings over those here.
    """

    models: tuple[str, ...]
    scores: tuple[str, ...]
    settings: Mapping[str, Any]
    neutral: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, "Grid"] = field(default_factory=dict)

    def of(self, data: str) -> "Grid":
        """The grid of a data set."""
        return self.data.get(data, self)

    @property
    def every_model(self) -> tuple[str, ...]:
        """The models of all data sets."""
        return tuple(dict.fromkeys(model for grid in (self, *self.data.values()) for model in grid.models))

    def model_of(self, method: str) -> str:
        """Whose model a method's own is."""
        return self.own.get(method, method)


def read_grid(content: Any, methods: Sequence[str], data: Sequence[str], where: str) -> Grid | None:
    """The part `grid` of a suite's file, if it has one.

    Args:
        content: what the file holds.
        methods: names in the suite.
        data: the same of data sets.
        where: the file.

    Raises:
        ValueError: one line naming file, key, what was found and what was expected.
    """
    if content is None:
        return None
    whole = read_mapping(content, f"{where}: grid", ("models", "scores", "set", "neutral", "own", "data"))
    own = whole.get("data") or {}
    if not isinstance(own, dict) or not set(own) <= set(data):
        raise ValueError(f"{where}: grid.data is {own!r}, expected data sets of the suite with what differs there")
    grid, parts = _grid_of(whole, methods, f"{where}: grid"), {}
    for name, part in own.items():
        at = f"{where}: grid.data.{name}"
        entries = read_mapping(part, at, ("models", "scores", "set"))
        one = _grid_of({**whole, **entries}, methods, at)
        parts[str(name)] = replace(one, settings={**grid.settings, **one.settings})
    return replace(grid, data=parts)


def _grid_of(entries: Mapping[str, Any], methods: Sequence[str], where: str) -> Grid:
    found: dict[str, tuple[str, ...]] = {}
    for key in ("models", "scores"):
        names = entries.get(key)
        if not isinstance(names, list) or not names or len({str(name) for name in names}) != len(names):
            raise ValueError(f"{where}.{key} is {names!r}, expected a list of different methods")
        for name in names:
            if name not in methods:
                raise ValueError(f"{where}.{key} names {name!r}, expected methods{suggest(str(name), methods)}")
        found[key] = tuple(names)
    for name in found["scores"]:
        check_source(name, f"{where}.scores")
    settings = read_settings(entries.get("set"), f"{where}.set")
    for key in settings:
        if not key.startswith("eval.") or key == "eval.split":  # the split is that of the scores
            raise ValueError(f"{where}.set has {key!r}, expected settings of eval other than its split")
    neutral = entries.get("neutral")
    if neutral is not None and neutral not in found["models"]:
        raise ValueError(f"{where}.neutral is {neutral!r}, expected one of its models or null")
    own = entries.get("own") or {}
    if not isinstance(own, dict) or not set(own) <= set(methods) or any(m not in found["models"] for m in own.values()):
        raise ValueError(f"{where}.own is {own!r}, expected methods with one of its models each")
    return Grid(models=found["models"], scores=found["scores"], settings=settings, neutral=neutral, own=own)
