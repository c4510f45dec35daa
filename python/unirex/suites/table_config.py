"""How the table of a suite is made: the part `table` of its file."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from unirex.schema import PERTURBATIONS
from unirex.text import current

Convention = Literal["strict", "eraser", "paper"]


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """How the table is made.

    Attributes:
        convention: whose definitions of the metrics.
        perturbation: how tokens were hidden; None = the first of `eval.how`.
        replicates: of the bootstrap.
        plot: the metrics of the plot of a sweep.
        note: what a reader must know, printed below the table.
        against: methods of which each is compared with all others in the table of a ledger.
        rivals: methods of which the best by the trials of `chosen` is what `against`, one method, is held against.
        variants: those of the rivals that are held against the others: the best by CNRG of both, by the same trials.
        shaped: data sets that `against` was made or tuned on: what is said of the others is said apart.
        margin: how far apart task scores may be to count as equivalent.
    """

    convention: Convention = "strict"
    perturbation: str | None = None
    replicates: int = 1000
    plot: tuple[str, ...] = ("auprc", "comprehensiveness", "sufficiency", "task")
    note: str | None = None
    against: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    shaped: tuple[str, ...] = ()
    margin: float = 0.01


TABLE_KEYS = tuple(TableConfig.__dataclass_fields__)


def read_table(entries: dict[str, Any], where: str) -> TableConfig:
    """The part `table` of a suite's file, whose keys are known ones.

    Raises:
        ValueError: one line naming file, key, what was found and what was expected.
    """
    if "convention" in entries:
        entries["convention"] = current("convention", str(entries["convention"]))
    for key, allowed in (("convention", get_args(Convention)), ("perturbation", (None, *PERTURBATIONS))):
        if key in entries and entries[key] not in allowed:
            shown = ", ".join(value or "null" for value in allowed)
            raise ValueError(f"{where}: table.{key} is {entries[key]!r}, expected one of {shown}")
    replicates = entries.get("replicates", 1000)
    if type(replicates) is not int or not 0 <= replicates <= 100_000:
        raise ValueError(f"{where}: table.replicates is {replicates!r}, expected 0 to 100000")
    margin = entries.get("margin", 0.01)
    for key in ("against", "rivals", "variants", "shaped"):
        names = entries.get(key) or ()
        if key == "against" and isinstance(names, str):
            names = [names]
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{where}: table.{key} is {names!r}, expected a list of {'data sets' if key == 'shaped' else 'methods'}"
            )
        entries = {**entries, key: tuple(names)}
    if entries["variants"] and not set(entries["variants"]) < set(entries["rivals"]):
        names = entries["variants"]
        raise ValueError(f"{where}: table.variants is {list(names)}, expected some of table.rivals, not all")
    if type(margin) is not float or not 0 < margin < 1:
        raise ValueError(f"{where}: table.margin is {margin!r}, expected a number between 0 and 1")
    if not isinstance(entries.get("note"), str | None):
        raise ValueError(f"{where}: table.note is {entries['note']!r}, expected text")
    if "plot" in entries:
        known = ("auprc", "token_f1", "comprehensiveness", "sufficiency", "task")
        if not isinstance(entries["plot"], list) or not entries["plot"] or any(n not in known for n in entries["plot"]):
            raise ValueError(f"{where}: table.plot is {entries['plot']!r}, expected some of {', '.join(known)}")
        entries = {**entries, "plot": tuple(entries["plot"])}
    return TableConfig(**entries)
