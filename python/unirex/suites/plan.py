"""From a suite to its runs: folders, commands, and whether they are done."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import yaml

from unirex.config.identity import determining, difference, digest, filled, renamed, training_part
from unirex.config.run import RunConfig, bare, completed, parse, plain
from unirex.disk.run_folder import RunFolder
from unirex.suites.choice import Choice, read_choice
from unirex.suites.ledger import Entry
from unirex.suites.override import Override
from unirex.suites.recipe import Suite, labelled
from unirex.text import suggest

State = Literal["done", "resume", "new"]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # every run's configuration is read after each that ends


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A trained model judged on another data set.

    Attributes:
        name: of that data set in the suite.
        folder: where predictions and metrics go.
        content: the configuration that `unirex.evaluate` reads.
    """

    name: str
    folder: Path
    content: Mapping[str, Any]

    @property
    def recipe(self) -> Path:
        """The file that holds `content`."""
        return self.folder / "evaluate.yaml"

    def done(self) -> bool:
        """Whether metrics are there that were made by this configuration, and no later model."""
        if _read_yaml(self.recipe) != self.content or not complete(self.folder):
            return False
        model, metrics = Path(self.content["model"]) / "config.json", RunFolder(self.folder).metrics
        return not model.is_file() or model.stat().st_mtime_ns <= metrics.stat().st_mtime_ns


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One entry of the ledger: a run on its own data set, its model on another one, or scores of another run on it.

    Attributes:
        label: of the data set in the table.
        method: of the row in the table.
        folder: of predictions and metrics.
        source: whose rows of that folder; empty = the folder's own predictions.
        config: the settings that the result depends on.
    """

    label: str
    method: str
    folder: Path
    config: Mapping[str, Any]
    source: str = ""

    @property
    def digest(self) -> str:
        """Of the settings."""
        return digest(self.config)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One training run of a suite.

    Attributes:
        data, method: names in the suite.
        seed: of training.
        label: of the data set, and the value of the sweep, in the table.
        folder: of the run.
        arguments: of `unirex.train`.
        config: the configuration that the arguments give, as read from YAML.
        transfers: what the trained model is then judged on.
        trial: folder of the run of an earlier suite that the settings were chosen by; None = nothing was chosen.
    """

    data: str
    method: str
    seed: int
    label: str
    folder: Path
    arguments: tuple[str, ...]
    config: Mapping[str, Any]
    transfers: tuple[Transfer, ...]
    trial: Path | None = None

    @property
    def name(self) -> str:
        """Short name in messages."""
        return f"{self.label}/{self.method}/{self.seed}"

    @property
    def training(self) -> str:
        """Digest of what training depends on: runs of one digest share one model."""
        return digest(training_part(self.config))

    @property
    def judged(self) -> Sequence[Judged]:
        """The run itself, then its transfers."""
        own = determining(self.config)
        far = (
            Judged(
                label=f"{self.label} to {transfer.name}",
                method=self.method,
                folder=transfer.folder,
                config={**own, "transfer": determining({k: transfer.content[k] for k in ("data", "eval")})},
            )
            for transfer in self.transfers
        )
        return Judged(label=self.label, method=self.method, folder=self.folder, config=own), *far

    @property
    def recordable(self) -> Sequence[Judged]:
        """Those of `judged` whose results are there: of a run that failed on one data set, the others."""
        if not self.finished():  # a transfer may be of another run's model
            return []
        own, *far = self.judged
        return [own, *(one for one, transfer in zip(far, self.transfers, strict=True) if transfer.done())]

    def state(self, *, overwrite: bool = False) -> State:
        """Whether the run is done, can go on from a checkpoint, or starts from the beginning.

        Raises:
            ValueError: the folder holds a run of another configuration, which is not to be overwritten.
        """
        if not RunFolder(self.folder).begun() or not isinstance(_read_yaml(RunFolder(self.folder).config), dict):
            return "new"
        other = self._difference()
        if other is not None:
            if overwrite:
                return "new"
            raise ValueError(
                f"{self.folder} holds another run ({other}), expected another --output or --overwrite true"
            )
        if complete(self.folder):
            return "done"
        stages = RunFolder(self.folder).stages()
        return "resume" if any(stage.found_checkpoints() for stage in stages) else "new"

    def trial_is_the_same(self) -> bool:
        """Whether the trial that the settings were chosen by lies here and trained the model that this run would."""
        if self.trial is None or not RunFolder(self.trial).model.is_dir() or not complete(self.trial):
            return False
        stored = _completed(_read_yaml(RunFolder(self.trial).config))
        return stored is not None and digest(training_part(stored)) == self.training

    def finished(self) -> bool:
        """Whether the run is done, whatever its transfers are; a run of another configuration is not this one."""
        return complete(self.folder) and self._difference() is None

    def judged_everywhere(self) -> bool:
        """Whether the run and all its transfers are done."""
        return self.finished() and all(transfer.done() for transfer in self.transfers)

    def _difference(self) -> str | None:
        """How the run in the folder differs from this one, None if it does not."""
        path = RunFolder(self.folder).config
        stored = _read_yaml(path)
        if not isinstance(stored, dict):
            return f"{path} cannot be read"
        if told_difference(stored, self.config) is not None:
            stored = _completed(stored) or stored
        return told_difference(stored, self.config)


def make_plan(suite: Suite, overrides: Sequence[Override], only: Sequence[str] = ()) -> list[Planned]:
    """All runs of a suite, each checked against what a run accepts, seeds last in order.

    Args:
        suite: the suite.
        overrides: settings that win over everything in the suite.
        only: names of data sets, methods or both: other runs are left out.

    Of a suite that follows a choice, data sets for which nothing is chosen yet are left out.

    Raises:
        ValueError: an unknown name, the first configuration that a run would refuse, or nothing chosen for any data set
            or for one named in `only`.
    """
    _parse.cache_clear()  # files and variables may have changed since another plan
    known = [*suite.data, *suite.methods]
    for name in only:
        if name not in known:
            raise ValueError(f"--only {name}: expected data sets or methods of {suite.path}{suggest(name, known)}")
    data = [name for name in suite.data if name in only] or list(suite.data)
    methods = [name for name in suite.methods if name in only] or list(suite.methods)
    choice = None if suite.chosen is None else _chosen(suite, suite.chosen, data, methods, only)
    return [
        run
        for name, point in suite.points
        if name in data and (choice is None or name in choice.values)
        for method in methods
        for run in _planned(suite, name, method, point, overrides, choice)
    ]


def check_overrides(suite: Suite, overrides: Sequence[Override]) -> None:
    """Refuses settings of the command line that are for no method or data set of the suite."""
    known = [*suite.data, *suite.methods, *suite.transfer]
    for override in overrides:
        who = override.who
        if not override.holds_for(*known):
            raise ValueError(f"--set {who}:{override.key}: no such method or data set{suggest(who, known)}")
        if not override.holds_for(*suite.data, *suite.methods) and not _of_judging(override.key):
            raise ValueError(f"--set {who}:{override.key}: expected data.limit, data.seed or eval of a transfer")
        if suite.sweep is not None and override.key == suite.sweep.key:
            raise ValueError(f"--set {override.key}: expected another setting than that of the suite's sweep")


def runs_of(output: Path) -> Path:
    """Where a suite of this output has its runs: in folders of data set, method and seed."""
    return output / "runs"


def folder_of(label: str) -> str:
    """The name of a data set's folder; a value of a sweep may be a path.

    >>> folder_of("sst@masked=../masks/a")
    'sst@masked=..%2Fmasks%2Fa'
    """
    return label.replace("/", "%2F")


def told_difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first setting in which two configurations differ, with both values; None if there is none."""
    found = difference(stored, now)
    return None if found is None else f"{found[0]} is {found[1]!r} there, {found[2]!r} here"


def same_settings(entry: Entry, wanted: str) -> bool:
    """Whether an entry has the settings of a digest, as it was written or as it would be today."""
    return entry.digest == wanted or digest(settings_now(entry)) == wanted


def settings_now(entry: Entry) -> Mapping[str, Any]:
    """An entry's settings as they would be today; as they are, of a method that this installation lacks."""
    with suppress(ValueError, KeyError):
        return _with_defaults(entry.config)
    return entry.config


def completed_digest(config: Mapping[str, Any]) -> str:
    """The digest of an entry's settings with today's defaults for those that came since it was made."""
    return digest(_with_defaults(config))


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    config = renamed(config)
    defaults = _defaults(str(config["method"]["name"]))
    more: dict[str, Any] = {"transfer": {name: defaults[name] for name in ("data", "eval")}}
    if "grid" in config:
        scores = renamed(config["grid"]["scores"])
        config["grid"] = {**config["grid"], "scores": scores}
        more["grid"] = {"scores": _defaults(str(scores["method"]["name"])), "eval": defaults["eval"]}
    return {k: filled(v, more.get(k, defaults.get(k))) for k, v in {**defaults, **config}.items()}


@cache
def _defaults(method: str) -> dict[str, Any]:
    return determining(bare(method))


def complete(folder: Path) -> bool:
    """Whether a run or an evaluation has left its metrics, which it writes last, and predictions that are whole."""
    try:
        content = json.loads(RunFolder(folder).metrics.read_text(encoding="utf-8"))
        pq.read_metadata(RunFolder(folder).predictions)
    except (OSError, ValueError, NotImplementedError):  # a damaged footer; out of memory is not one
        return False
    return isinstance(content, dict)


def _chosen(suite: Suite, path: Path, data: Sequence[str], methods: Sequence[str], only: Sequence[str]) -> Choice:
    """What an earlier suite chose; refused where it lacks what is asked for."""
    choice = read_choice(path)
    found = [name for name in data if name in choice.values]
    missing = [name for name in data if name not in found and (not found or name in only)]
    missing += [
        f"methods.{method} on {name}"
        for name in found
        for method in dict.fromkeys(suite.methods[m].chosen or m for m in methods if suite.seeds_of(m, name))
        if method not in choice.values[name]
    ]
    if missing:
        raise ValueError(
            f"{suite.path}: {path} has no choice for {', '.join(missing)}, expected one, written by "
            f"`python -m unirex.suite SUITE_OF_THE_TRIALS --choose {path}`"
        )
    return choice


def _planned(
    suite: Suite, data: str, method: str, point: Any, overrides: Sequence[Override], choice: Choice | None
) -> list[Planned]:
    """The runs of a method on a data set, one for each seed."""
    recipes = suite.data[data], suite.methods[method]
    configs = [*suite.base, *recipes[0].configs, *recipes[1].configs]
    settings = {**suite.settings, **recipes[0].settings, **recipes[1].settings}
    trials = None
    if choice is not None:
        other = recipes[1].chosen or method
        value = settings[choice.key] = choice.values[data].get(other)  # None: no seed, and so no run
        trials = runs_of(suite.output.parent / choice.suite) / folder_of(labelled(data, choice.key, value)) / other
    if suite.sweep is not None:
        settings[suite.sweep.key] = point
    settings |= {override.key: override.value for override in overrides if override.holds_for(data, method)}
    label, runs = suite.label(data, point), []
    for seed in suite.seeds_of(method, data):
        arguments = as_arguments(configs, _of_seed(settings, seed))
        content = plain(parsed(suite, f"data.{data} with methods.{method}", [*arguments, "--seed=0"]))
        where = f"{suite.path}: data.{data} with methods.{method}"
        if suite.ledger is not None and (precision := content["train"]["precision"]) in ("auto", None):
            raise ValueError(
                f"{where}: train.precision is {precision}, expected no, bf16 or fp16 in a suite with a ledger, whose "
                "runs are of many machines"
            )
        if (how := suite.table.perturbation) not in (None, *content["eval"]["how"]) and suite.grid is None:
            raise ValueError(
                f"{where}: table.perturbation is {how!r}, expected one of eval.how, {content['eval']['how']}"
            )
        folder = runs_of(suite.output) / folder_of(label) / method / str(seed)
        others = [name for name in suite.transfer if name != data]
        runs.append(
            Planned(
                data=data,
                method=method,
                seed=seed,
                label=label,
                folder=folder,
                arguments=(*arguments, f"--seed={seed}", f"--output={folder}"),
                config={**content, "seed": seed},
                transfers=tuple(_transfer(suite, name, folder, content["eval"], overrides, seed) for name in others),
                trial=None if trials is None else trials / str(seed),
            )
        )
    return runs


def _of_seed(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The settings of a run of this seed."""
    return {k: v.replace("{seed}", str(seed)) if isinstance(v, str) else v for k, v in settings.items()}


def as_arguments(configs: Sequence[Path], settings: Mapping[str, Any]) -> list[str]:
    """Configuration files and settings as a run's command line takes them.

    >>> as_arguments([Path("a.yaml")], {"train.epochs": 1, "data.labels": ["False", "True"], "model.backbone": None})
    ['--config=a.yaml', '--train.epochs=1', '--data.labels=["False", "True"]', '--model.backbone=null']
    """
    values = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in settings.items()}
    return [f"--config={file}" for file in configs] + [f"--{key}={value}" for key, value in values.items()]


@cache
def _parse(arguments: tuple[str, ...]) -> RunConfig:
    return parse(arguments, prog="unirex.train", description="")


def parsed(suite: Suite, what: str, arguments: Sequence[str]) -> RunConfig:
    """The configuration that a command line gives; what is wrong with it names the suite and the part of it."""
    try:
        return _parse(tuple(arguments))
    except ValueError as error:
        raise ValueError(f"{suite.path}: {what}: {error}") from None


def _transfer(
    suite: Suite, name: str, run: Path, judged: Mapping[str, Any], overrides: Sequence[Override], seed: int
) -> Transfer:
    """How a run's model is judged on another data set: that set's own recipe, with the run's `eval` settings.

    The recipe's own come before these, and the command line's before all.
    """
    recipe = suite.transfer[name]
    settings = {**{f"eval.{key}": value for key, value in judged.items()}, **recipe.settings}
    settings |= {o.key: o.value for o in overrides if _of_judging(o.key) and o.holds_for(name)}
    config = parsed(suite, f"transfer.{name}", as_arguments(recipe.configs, _of_seed(settings, seed)))
    folder = run / "transfer" / name
    sections = {"data": asdict(config.data), "eval": asdict(config.eval)}
    content = {"model": str(RunFolder(run).model), "output": str(folder), **json.loads(json.dumps(sections))}
    return Transfer(name=name, folder=folder, content=content)


def _of_judging(key: str) -> bool:
    """Whether a setting of all runs holds for the data sets too that their models are only judged on."""
    return key in ("data.limit", "data.seed") or key.startswith("eval.")


def _completed(stored: Any) -> dict[str, Any] | None:
    """A stored configuration as it would be written now, None for what no run has written."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return completed(stored)
    return None


def _read_yaml(path: Path) -> Any:
    """The content of a YAML file, None where there is none or it was cut off."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - a safe loader
    except (OSError, ValueError, yaml.YAMLError):
        return None
