"""`python -m unirex.explain --model DIR --input FILE --output FILE`: explains every row of a file."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentError, ArgumentParser

from unirex.config.command_line import add_import, expand, fail, one_line
from unirex.config.own_code import import_own
from unirex.data.errors import DataError
from unirex.data.raw_text import Words
from unirex.data.rows import Row, stream_rows
from unirex.disk.predictions import FileHeader
from unirex.metrics.commands.progress import progress
from unirex.schema import Example, Perturbation

if TYPE_CHECKING:
    from unirex.explainer import Columns, ExplainConfig


@dataclass(frozen=True, kw_only=True)
class Request:
    """The input, model and output of a command; `columns`, `settings`, `loading`: arguments of the explainer."""

    model: str
    input: str
    output: str
    columns: "Columns"
    settings: "ExplainConfig"
    loading: dict[str, Any]
    limit: int | None

    def __post_init__(self) -> None:
        """Checks what can be checked before a model is loaded."""
        from unirex.explainer.output import check_format

        check_format(Path(self.output))
        if Path(self.output).is_dir():
            raise ValueError(f"output {self.output} is a folder, expected a file")
        if Path(self.output).resolve() == Path(self.input).resolve():
            raise ValueError(f"output is {self.output!r}, expected another file than the input")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}, expected at least 1")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 2 for bad input, 130 for Ctrl-C (these two leave no file)."""
    try:
        found = _parse(list(sys.argv[1:] if argv is None else argv))
        rows = stream_rows(expand(found.input, "input"))
        run(_request(found), rows)  # from here on with torch
    except (ValueError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="unirex.explain", description=__doc__, exit_on_error=False, allow_abbrev=False)
    add = parser.add_argument
    add("--model", type=str, required=True, help="folder or hub name of a unirex model or a sequence classifier")
    add("--input", type=str, required=True, help="JSONL, CSV, TSV or Parquet with one text a row")
    add("--output", type=str, required=True, help="Parquet, JSONL or CSV; appears when it is complete")
    add("--text-column", type=str, default="text", help="the text, or a list of words")
    add("--pair-column", type=str | None, default=None, help="a second text (premise and hypothesis)")
    add("--query-column", type=str | None, default=None, help="a question about the text, never selected")
    add("--choices-column", type=str | None, default=None, help="a list of answers to choose from")
    add("--id-column", type=str | None, default=None, help="names the row; default: its number from 0")
    add("--label-column", type=str | None, default=None, help="the true class, to be scored against")
    add("--attribution", type=str | None, default=None, help="scores from gradients instead of an extractor")
    add("--steps", type=int, default=50, help="of integrated gradients")
    add("--words", type=Words, default="text", help="a word: as in a text, or between spaces")
    add("--fraction", type=float | None, default=None, help="share of the words in a rationale; default: the model's")
    add("--threshold", type=float | None, default=None, help="instead: words with at least this score")
    add("--faithfulness", type=bool, default=False, help="measure what hiding the top words does to the answer")
    add("--how", type=Perturbation, default="attention", help="how words are hidden for that")
    add("--max-length", type=int | None, default=None, help="most tokens of an input")
    add("--batch-size", type=int, default=32, help="texts in one pass")
    add("--device", type=str | None, default=None, help="cpu, cuda, ...; default: a GPU if there is one")
    add("--limit", type=int | None, default=None, help="explain only the first rows, at most so many")
    add_import(parser)
    return parser


def _parse(argv: list[str]) -> Any:
    parser = _parser()
    argv = ["--faithfulness=true" if word == "--faithfulness" else word for word in _joined(import_own(argv)[1])]
    try:
        return parser.parse_args(argv)
    except ArgumentError as error:
        raise ValueError(one_line(str(error), parser)) from None


def _request(found: Any) -> Request:
    from unirex.explainer import Columns, ExplainConfig

    return Request(
        model=expand(found.model, "model"),
        input=expand(found.input, "input"),
        output=expand(found.output, "output"),
        columns=Columns(**{field.name: found[f"{field.name}_column"] for field in fields(Columns)}),
        settings=ExplainConfig(
            **{name: found[name] for name in ("fraction", "threshold", "faithfulness", "how", "batch_size")}
        ),
        loading={name: found[name] for name in ("attribution", "steps", "device", "words", "max_length")},
        limit=found.limit,
    )


def _joined(argv: list[str]) -> list[str]:
    """The words with `--faithfulness true` as one, so that the option can also stand alone."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] == "--faithfulness" and word.lower() in {"true", "false"}:
            joined[-1] = f"--faithfulness={word.lower()}"
        else:
            joined.append(word)
    return joined


def run(request: Request, rows: Iterator[Row]) -> None:
    """Explains the rows one after another; the output appears once all of them are done."""
    from transformers.utils.logging import disable_progress_bar

    from unirex.explainer import Explainer
    from unirex.explainer.output import explanation_file

    disable_progress_bar()  # of loading weights; the command has its own
    explainer = Explainer.from_pretrained(request.model, **request.loading)
    reader = explainer.reader(request.columns)

    def examples() -> Iterator[Example]:
        seen: dict[str, str] = {}
        for number, (where, row) in enumerate(islice(rows, request.limit)):
            example = reader.example(row, number, where)
            if request.columns.id is not None:
                if example.id in seen:
                    raise DataError(f"{where}: id {example.id!r} is a duplicate, expected it once ({seen[example.id]})")
                seen[example.id] = where
            yield example

    saved = explainer.saved
    header = FileHeader(
        labels=saved.labels,
        choice=saved.choice,
        headline="accuracy",
        unit=saved.unit,
        scores_from=str(saved.scores_from),
        rationale_rule=request.settings.rule(saved.rationale_fraction),
    )
    Path(request.output).parent.mkdir(parents=True, exist_ok=True)
    started, done = time.perf_counter(), 0
    with (
        progress("explained") as show,
        explanation_file(
            request.output,
            header,
            fractions=request.settings.fractions,
            model=request.model,
            data=Path(request.input).name,
        ) as write,
    ):
        for answer in explainer.explain(examples(), request.settings):
            write(answer)
            done += 1
            if show is not None:
                show(done, request.limit or 0)
    seconds = time.perf_counter() - started
    print(f"explained {done:,} rows in {seconds:.1f} s ({done / seconds:,.0f} a second): {request.output}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
