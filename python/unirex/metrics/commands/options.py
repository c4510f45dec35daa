"""Options of the subcommands: read by jsonargparse, with near names for unknown ones and errors in one line."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser

from unirex.disk.untrusted import check_mappings
from unirex.parsing import rephrased

if TYPE_CHECKING:
    from unirex.metrics.state import Resampling

Options = Mapping[str, Any]
"""Option -> value."""

READING = ("convention", "perturbation", "scorer", "iou_thresholds", "columns", "labels")


def parse(program: str, about: str, arguments: Callable[[ArgumentParser], None], argv: Sequence[str]) -> dict[str, Any]:
    """The options by name.

    Args:
        program: what help calls the command.
        about: one line for help.
        arguments: adds the command's arguments to a parser.
        argv: the words after the command.

    Raises:
        ValueError: an unknown option, or a value of the wrong kind.
    """
    parser = ArgumentParser(prog=program, description=about, exit_on_error=False, allow_abbrev=False)
    arguments(parser)
    check_mappings(argv)
    with rephrased(parser):
        return dict(parser.parse_args(list(argv)).as_dict())


def resampling(options: Options) -> "Resampling":
    """The resampling that the options of `add_reading` ask for."""
    from unirex.metrics.state import Resampling

    return Resampling(replicates=options["replicates"], seed=options["seed"], confidence=options["confidence"])


def reading(options: Options) -> dict[str, Any]:
    """How predictions are to be read: the other options of `add_reading`."""
    found = {name: options[name] for name in READING if name in options}
    return {**found, "iou_thresholds": options.get("iou_thresholds") or [0.5]}


def add_reading(
    parser: ArgumentParser, *, replicates: int = 1000, none: str = "; 0 = no intervals", spans: bool = True
) -> None:
    """Adds the options about how predictions are read and resampled, those about spans where any are scored."""
    add = parser.add_argument
    add("--convention", type=Literal["strict", "paper"], default="strict", help="whose definitions (docs/metrics.md)")
    add("--perturbation", type=str, nargs="+", action="extend", help="which of the file's, the default one first")
    add("--scorer", type=str, default="self", help="whose probabilities: self or a check model of the file")
    if spans:
        add(
            "--iou_thresholds",
            "--iou-thresholds",
            type=float,
            nargs="+",
            action="extend",
            help="for span F1, in (0, 1]; default: 0.5",
        )
    add("--replicates", type=int, default=replicates, help=f"bootstrap replicates of the rows{none}")
    add("--seed", type=int, default=0, help="of the resampling")
    add("--confidence", type=float, default=0.95, help="how often an interval shall hold the truth")
    add_columns(parser)


def add_columns(parser: ArgumentParser) -> None:
    """Adds the options about files that others wrote."""
    add = parser.add_argument
    add("--columns", type=dict[str, str] | None, help='our column -> name in the file, e.g. {"scores": "attributions"}')
    add(
        "--labels",
        type=str,
        nargs="+",
        action="extend",
        help="classes in the order of the probabilities, for foreign files",
    )


def add_output(parser: ArgumentParser) -> None:
    """Adds the options about the result."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=str | None, help="also write JSON to this file")
