"""The settings of judging, which need no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from unirex.disk.run_folder import CONTROLS
from unirex.ranges import Count, Fraction, Range, check_ranges
from unirex.schema import FRACTIONS, Hiding, Perturbation

RESERVED = (*CONTROLS, "extractor", "select_then_predict")
"""Score sources that have a meaning of their own."""


def check_source(name: str, what: str) -> None:
    r"""Refuses a name of given scores that is a source of its own or cannot be a file's.

    >>> check_source("slm-fp K=0.5", "scores")
    >>> check_source("a/b", "scores")
    Traceback (most recent call last):
    ValueError: scores has the name 'a/b', expected one without / \ and no dot in front
    """
    if not isinstance(name, str):  # YAML reads 1 as a number, and null as none
        raise ValueError(f"{what} has the name {name!r}, expected text, in quotes where it looks like something else")
    if name in RESERVED:
        raise ValueError(f"{what} has the name {name!r}, expected another one than {', '.join(RESERVED)}")
    if not name.strip() or name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
        raise ValueError(f"{what} has the name {name!r}, expected one without / \\ and no dot in front")


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How rationales are judged.

    Attributes:
        fractions: shares of the selectable units kept or removed.
        how: the perturbations: attention, delete, mask_token, pad_token. The first one is the headline and picks an
            epoch; where attention is one of several, it comes first. After it also soft (`unirex.judging.soft`), which
            asks each model 2 K + 1 times more.
        rationale_fraction: share f* of the words in the saved hard rationale; None = mean gold share of the training
            set (0.2 where there is no gold).
        references: control scores judged on the same model: random, gold, inverse.
        max_tokens: most tokens in one pass, and, padding included, of the full inputs that are scored together.
        batch_size: most instances scored together.
        split: which split the run ends with; an empty one falls back to val.
        seed: of the random reference, and of `naopc_rows`.
        naopc_beam: sets of words that the search for the best and the worst order goes on with a step, where there are
            more than nine words; 0 = NAOPC is not measured, as between epochs. It costs about a thousand passes a row.
        naopc_units: most units of an order; the words of longer texts are taken together in runs of neighbors.
        naopc_rows: most instances that NAOPC is measured on, drawn by the seed; None = all.
    """

    fractions: tuple[Fraction, ...] = FRACTIONS
    how: tuple[Hiding, ...] = ("attention",)
    rationale_fraction: Fraction | None = None
    references: tuple[Literal["random", "gold", "inverse"], ...] = ("random", "gold", "inverse")
    max_tokens: Count = 16384
    batch_size: Count = 512
    split: Literal["train", "val", "test"] = "test"
    seed: int = 0
    naopc_beam: Annotated[int, Range("at least 0", lambda n: n >= 0)] = 0
    naopc_units: Annotated[int, Range("2 to 63", lambda n: 2 <= n <= 63)] = 16
    naopc_rows: Count | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_ranges("eval", self)
        if not self.fractions or list(self.fractions) != sorted(set(self.fractions)):
            raise ValueError(f"eval.fractions is {self.fractions}, expected ascending values without repeats")
        if not self.how:
            raise ValueError("eval.how is empty, expected at least one perturbation")
        if self.how[0] == "soft":
            raise ValueError("eval.how begins with soft, expected a perturbation that hides tokens before it")
        if "attention" in self.how[1:]:  # as prediction files are read
            raise ValueError(f"eval.how begins with {self.how[0]}, expected attention first where it is one of several")

    @property
    def hiding(self) -> tuple[Perturbation, ...]:
        """The perturbations that hide tokens."""
        return tuple(how for how in self.how if how != "soft")
