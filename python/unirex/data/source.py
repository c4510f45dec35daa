"""Where instances come from: the configuration of a data set, and its splits as examples."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from unirex.data.cache import cache_folder
from unirex.data.eraser import EraserConfig, read_eraser
from unirex.data.errors import DataError
from unirex.data.gold import keep_gold_share
from unirex.data.hub import check_apart, read_hub
from unirex.data.mapping import HubConfig
from unirex.data.masks import Masks, file_of, read_masks
from unirex.data.reading import read_examples
from unirex.data.record import Labeling, OtherLabels, QueryUse, Record, Records
from unirex.data.splitting import HELD_OUT, Split, Splits, split_examples
from unirex.data.store import ExampleStore, has_choices, windows
from unirex.data.tables import counted_once
from unirex.data.toy import ToyConfig, toy_examples
from unirex.plugins import Registry
from unirex.ranges import Count, Fraction, Natural, check_ranges
from unirex.schema import Example
from unirex.text import one_spelling, shown, told_apart


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A data set: where it is, what is done with its fields, which score is its headline.

    Attributes:
        source: `toy` = made in code, `eraser` = a folder in the layout of the ERASER benchmark, `hub` = anything the
            `datasets` library knows, and local CSV, TSV, JSON, JSONL and Parquet files; or the name of a reader of
            another installed package (entry points of the group `unirex.readers`).
        path: eraser: the folder. hub: a file, several by a pattern or by `{split}`, a folder of files, a folder
            written by `save_to_disk`, or the name of a data set on the Hugging Face Hub.
        name: short name in tables and files; default: the last part of `path`, or `toy`.
        query: the query of an instance: `ignore` = left out, `fixed` = kept in every input and never selected,
            `selectable` = may be selected, its gold being 0. (eraser, hub)
        choices: what separates the choices inside a query; makes a multiple-choice task. (eraser, hub)
        labels: the classes in order; default: those of the training split, sorted. Multiple choice: the names of the
            choices in order; default: A, B, C and so on.
        rename_labels: other names for classes, for a model that is tried on data with other names for its classes.
        other_labels: what a label outside `labels` is: an `error`, or `missing`, for a model that is tried on data of
            another task (there is then no task score).
        headline: the task score to report first: `accuracy`, `macro_f1`, or `f1:CLASS` (binary F1 of that class).
        limit: at most so many instances of each split, a seeded sample in the order of the file.
        gold_share: share of the training instances with gold that keep it, drawn by class.
        masked: folder with masks of words (`unirex roar`), which are then hidden from every run.
        masked_share: which mask of that folder, by the share of words that it hides; 0 = none.
        seed: of the toy corpus, of splits that the data lack, of `limit` and of `gold_share`; training has its own.
        cache: folder that keeps the tokenized data for the next run; None = $UNIREX_CACHE, or no cache.
        eraser: what ERASER files leave open.
        hub: which columns hold what.
        toy: how large the toy corpus is and of what kind.
    """

    source: str = "toy"
    path: str | None = None
    name: str | None = None
    query: QueryUse = "fixed"
    choices: str | None = None
    labels: tuple[str, ...] | None = None
    rename_labels: dict[str, str] = field(default_factory=dict)
    other_labels: OtherLabels = "error"
    headline: str = "accuracy"
    limit: Count | None = None
    gold_share: Fraction = 1.0
    masked: str | None = None
    masked_share: float = 0.0
    seed: Natural = 0
    cache: str | None = None
    eraser: EraserConfig = field(default_factory=EraserConfig)
    hub: HubConfig = field(default_factory=HubConfig)
    toy: ToyConfig = field(default_factory=ToyConfig)

    def __post_init__(self) -> None:
        READERS.check(self.source)
        if self.source in READERS.built_in and (self.path is None) != (self.source == "toy"):
            expected = (
                "none (source: toy is made in code)" if self.source == "toy" else f"one for source: {self.source}"
            )
            raise ValueError(f"data.path is {self.path!r}, expected {expected}")
        if self.choices == "":
            raise ValueError("data.choices is '', expected the text between two choices, such as ' [sep] '")
        if self.choices is not None and self.query != "fixed":
            raise ValueError(f"data.query is {self.query!r}, expected 'fixed' where data.choices cuts it into choices")
        if self.choices is not None and self.hub.choices:
            raise ValueError(f"data.choices is {self.choices!r}, expected none together with data.hub.choices")
        if self.choices is not None and (self.source == "toy" or (self.source == "hub" and self.hub.query is None)):
            raise ValueError(f"data.choices is {self.choices!r}, expected a query that it cuts (data.hub.query)")
        if self.labels is not None and (len(set(self.labels)) < max(2, len(self.labels))):
            raise ValueError(f"data.labels is {list(self.labels)}, expected two or more different names")
        kind, _, name = self.headline.partition(":")
        if self.headline not in {"accuracy", "macro_f1"} and not (kind == "f1" and name):
            raise ValueError(f"data.headline is {self.headline!r}, expected 'accuracy', 'macro_f1' or 'f1:CLASS'")
        check_ranges("data", self)
        if not 0 <= self.masked_share < 1 or (self.masked_share and self.masked is None):
            expected = "0 without data.masked" if 0 <= self.masked_share < 1 else "0 or more and less than 1"
            raise ValueError(f"data.masked_share is {self.masked_share}, expected {expected}")
        strange = [name for name in self.rename_labels if not isinstance(name, str)]
        if strange:  # YAML reads 1, no and yes as other things than text
            raise ValueError(f"data.rename_labels has the key {strange[0]!r}, expected text (in quotes)")

    @property
    def mask_file(self) -> Path | None:
        """The masks of the words that no run sees, None where all are seen."""
        return file_of(self.masked, self.masked_share) if self.masked and self.masked_share else None

    @property
    def masks(self) -> Masks | None:
        """What is in the mask file.

        Raises:
            DataError: there is no such file, or it holds something else.
        """
        return None if self.mask_file is None else read_masks(self.mask_file)

    @property
    def short_name(self) -> str:
        """`name`; default: the last part of `path` without its ending, or `toy`."""
        return self.name or (Path(self.path).stem if self.path else self.source)


def load_split(config: DataConfig, split: Split) -> ExampleStore:
    """The examples of one split, in file order. A val or test split that the source lacks is empty.

    A label that `config.labels` does not name is an error. Where `labels` is not set, those of the training split can
    be: `load_split(replace(config, labels=label_names(config, train)), "val")`.

    >>> len(load_split(DataConfig(toy=ToyConfig(n_train=20, n_val=5, n_test=5)), "train"))
    20
    """
    return _reduced(_read(config, split), config, split)


def load_splits(config: DataConfig) -> Splits:
    """All splits, and the classes. Data without a val split get one, and a test split if they lack that too.

    These are drawn from the training split with `config.seed`, by class and by having gold (`split_examples`), before
    `limit` and `gold_share` count.

    Raises:
        DataError: rows that two splits share by `hub.splits`, among others.
    """
    with counted_once():
        if config.source == "hub" and config.path is not None:
            check_apart(config.path, config.hub)
        renamed: set[str] = set()
        train = _read(config, "train", renamed)
        labels = label_names(config, train)
        known = config if has_choices(train) else replace(config, labels=labels)
        found: dict[Split, ExampleStore] = {"train": train}
        found |= {split: _read(known, split, renamed) for split in HELD_OUT}
    for name in sorted(config.rename_labels.keys() - renamed):
        there = f"expected a label that is there ({shown([*labels])})"
        raise DataError(f"{config.path or config.source}: data.rename_labels has {name!r}, {there}")
    lacking: list[Split] = [] if found["val"] else [split for split in HELD_OUT if not found[split]]
    if lacking:
        found |= split_examples(train, {split: HELD_OUT[split] for split in lacking}, seed=config.seed)
    return Splits(
        train=_reduced(found["train"], config, "train"),
        val=_reduced(found["val"], config, "val"),
        test=_reduced(found["test"], config, "test"),
        labels=labels,
        drawn=tuple(lacking),
    )


def _read(config: DataConfig, split: Split, renamed: set[str] | None = None) -> ExampleStore:
    """The examples of a split; the keys of `rename_labels` that it has are added to `renamed`."""
    reader = READERS.find(config.source)
    labeling = Labeling(
        query=config.query,
        separator=config.choices,
        labels=config.labels,
        rename=config.rename_labels,
        others=config.other_labels,
        renamed=set() if renamed is None else renamed,
    )
    examples = read_examples(lambda: reader(config, split), labeling, config.source, cache_folder(config.cache))
    if split == "train" and not examples:
        raise DataError(f"{config.path or config.source}: the training split is empty, expected at least one instance")
    return examples


def _reduced(examples: ExampleStore, config: DataConfig, split: Split) -> ExampleStore:
    """What `limit` and `gold_share` leave of a split."""
    examples = sample(examples, config.limit, seed=config.seed)
    if split == "train" and config.gold_share < 1:
        examples = keep_gold_share(examples, config.gold_share, seed=config.seed)
    return examples


def sample(examples: ExampleStore, limit: int | None, *, seed: int) -> ExampleStore:
    """At most `limit` examples in their order, a seeded draw without replacement; None = all of them."""
    if limit is None or limit >= len(examples):
        return examples
    return examples.take(np.sort(np.random.default_rng(seed).permutation(len(examples))[:limit]))


def label_names(config: DataConfig, train: Sequence[Example]) -> tuple[str, ...]:
    """The classes in the order of the model's outputs: `config.labels`, else the training labels, sorted.

    Multiple choice: the names of the choices, of as many as the longest instance has.
    """
    names = config.labels
    if names is None:
        longest: Sequence[str] = ()
        found: Counter[str | None] = Counter()
        for part in windows(train):
            longest = max([longest, *part.texts_of("choice_label")], key=len)
            found.update(part.texts_of("label"))
        names = tuple(longest or sorted(name for name in found if name is not None))
        _check_spelling(config, sorted(names, key=lambda name: -found[name]))
    where = config.path or config.source
    if len(names) < 2:
        raise DataError(f"{where}: the training labels are {list(names)}, expected two or more classes")
    headline = config.headline.removeprefix("f1:")
    if headline != config.headline and headline not in names:
        raise DataError(f"{where}: headline is {config.headline!r}, expected f1: and one of {', '.join(names)}")
    return names


def _check_spelling(config: DataConfig, names: Sequence[str]) -> None:
    """Refuses two classes that are one, written in two ways; the names are given the most common first."""
    spelled: dict[str, str] = {}
    for name in names:
        other = spelled.setdefault(one_spelling(name), name)
        if other != name:
            usual, rare = told_apart(other, name)
            raise DataError(
                f"{config.path or config.source}: the training labels have {usual} and {rare}, expected one "
                f"spelling (data.rename_labels '{{{json.dumps(name)}: {json.dumps(other)}}}', or data.labels with both)"
            )


def _read_toy(config: DataConfig, split: Split) -> Iterable[Example]:
    return toy_examples(split, config=config.toy, seed=config.seed)


def _read_eraser(config: DataConfig, split: Split) -> Iterable[Record]:
    assert config.path is not None
    return read_eraser(config.path, split, query=config.query, config=config.eraser)


def _read_hub(config: DataConfig, split: Split) -> Iterable[Records]:
    assert config.path is not None
    return read_hub(config.path, split, query=config.query, config=config.hub)


Reader = Callable[[DataConfig, Split], Iterable[Record | Records | Example]]
"""A reader of a data set: yields the instances of a split, and nothing if there is no such split."""

READERS: Registry[Reader] = Registry(
    "data.source",
    "unirex.readers",
    {"toy": _read_toy, "eraser": _read_eraser, "hub": _read_hub},
    callable,
    "a function from a DataConfig and the name of a split to records",
)
