"""`unirex explain --model DIR --input FILE --output FILE`: explains every row of a file, or `--text "…"`."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentError, ArgumentParser

from unirex.config.command_line import add_import, expand, fail
from unirex.config.files import is_path
from unirex.config.own_code import import_own
from unirex.config.threads import wait_asleep
from unirex.data.errors import DataError
from unirex.data.raw_text import Words
from unirex.data.rows import Row, stream_rows
from unirex.disk.predictions import FileHeader
from unirex.metrics.commands.progress import progress
from unirex.parsing import one_line
from unirex.schema import Example, Perturbation
from unirex.text import say

if TYPE_CHECKING:
    from unirex.explainer import Columns, ExplainConfig, ExplainedText, Explainer
    from unirex.explainer.inputs import InputReader


@dataclass(frozen=True, kw_only=True)
class Request:
    """The input, model and output of a command; `columns`, `settings`, `loading`: arguments of the explainer."""

    model: str
    input: str | None
    output: str | None
    columns: "Columns"
    settings: "ExplainConfig"
    loading: dict[str, Any]
    limit: int | None

    def __post_init__(self) -> None:
        """Checks what can be checked before a model is loaded."""
        from unirex.explainer.output import check_format

        if self.output is None:
            return
        check_format(Path(self.output))
        if Path(self.output).is_dir():
            raise ValueError(f"output {self.output} is a folder, expected a file")
        if self.input is not None and Path(self.output).resolve() == Path(self.input).resolve():
            raise ValueError(f"output is {self.output!r}, expected another file than the input")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 2 for bad input, 130 for Ctrl-C (these two leave no file)."""
    wait_asleep()
    try:
        found = _parse(list(sys.argv[1:] if argv is None else argv))
        rows = _rows(found)
        _check_model(found.model)
        run(_request(found), rows)  # from here on with torch
    except (ValueError, OSError, ImportError) as error:
        return fail(error)
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="unirex.explain", description=__doc__, exit_on_error=False, allow_abbrev=False)
    add = parser.add_argument
    add("--model", type=str, required=True, help="folder or hub name of a unirex model or a sequence classifier")
    add("--text", type=str, action="append", default=[], help="a text to explain; may be given several times")
    add("--input", type=str | None, default=None, help="JSONL, CSV, TSV or Parquet with one text a row")
    add(
        "--output",
        "-o",
        type=str | None,
        default=None,
        help="Parquet, JSONL, CSV, or a page (.html); appears when it is complete; with --text default: the terminal",
    )
    add("--text-column", type=str, default="text", help="the text, or a list of words")
    add("--pair-column", type=str | None, default=None, help="a second text (premise and hypothesis)")
    add("--query-column", type=str | None, default=None, help="a question about the text, never selected")
    add("--choices-column", type=str | None, default=None, help="a list of answers to choose from")
    add("--id-column", type=str | None, default=None, help="names the row; default: its number from 0")
    add("--label-column", type=str | None, default=None, help="the true class, to be scored against")
    add("--attribution", type=str | None, default=None, help="scores from gradients instead of an extractor")
    add("--steps", type=int, default=50, help="of integrated gradients")
    add(
        "--words", type=Words | None, default=None, help="a word: as in a text, or between spaces; default: the model's"
    )
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


def _rows(found: Any) -> Iterator[Row]:
    """The rows of the file, or the texts."""
    if found.limit is not None and found.limit < 1:
        raise ValueError(f"limit is {found.limit}, expected at least 1")
    if (found.input is None) == (not found.text):
        given = "neither is" if found.input is None else "both are"
        raise ValueError(f"--input and --text: {given} given, expected one of them")
    if found.input is not None:
        if found.output is None:
            raise ValueError("--output is missing, expected a file that ends in .parquet, .jsonl, .csv or .html")
        return stream_rows(expand(found.input, "input"))
    return iter([(f"--text {number}", {found.text_column: text}) for number, text in enumerate(found.text, start=1)])


def _check_model(name: str) -> None:
    """Refuses a path without a model before torch is imported."""
    path = expand(name, "model")
    if is_path(path) and not Path(path).is_dir():
        raise ValueError(f"model is {path!r}, expected a folder that is there")


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

    disable_progress_bar()  # of loading weights; the command has its own
    explainer = Explainer.from_pretrained(request.model, **request.loading)
    waiting: deque[Mapping[str, Any]] = deque()
    answers = explainer.explain(_examples(explainer.reader(request.columns), request, rows, waiting), request.settings)
    if request.output is None:
        for answer in answers:
            say(answer.to_text())
        return
    started = time.perf_counter()
    done = _write(request, explainer, answers, waiting)
    seconds = time.perf_counter() - started
    say(f"explained {done:,} rows in {seconds:.1f} s ({done / seconds:,.0f} a second): {request.output}")


def _examples(
    reader: "InputReader", request: Request, rows: Iterator[Row], waiting: deque[Mapping[str, Any]]
) -> Iterator[Example]:
    """The examples of the rows, which wait to be written with the answers."""
    seen: dict[str, str] = {}
    for number, (where, row) in enumerate(islice(rows, request.limit)):
        example = reader.example(row, number, where)
        if request.columns.id is not None:
            if example.id in seen:
                raise DataError(f"{where}: id {example.id!r} is a duplicate, expected it once ({seen[example.id]})")
            seen[example.id] = where
        waiting.append(row if request.input is not None else {})
        yield example


def _write(
    request: Request, explainer: "Explainer", answers: "Iterator[ExplainedText]", waiting: deque[Mapping[str, Any]]
) -> int:
    """Writes the answers with the columns of their rows; how many there were."""
    from unirex.explainer.output import explanation_file

    assert request.output is not None
    saved = explainer.saved
    header = FileHeader(
        labels=saved.labels,
        choice=saved.choice,
        headline="accuracy",
        unit="word",
        scores_from=str(saved.scores_from),
        rationale_rule=request.settings.rule(saved.rationale_fraction),
    )
    fractions, data = request.settings.fractions, Path(request.input or "texts").name
    Path(request.output).parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with (
        progress("explained") as show,
        explanation_file(request.output, header, fractions=fractions, model=request.model, data=data) as write,
    ):
        for answer in answers:
            write(answer, waiting.popleft())
            done += 1
            if show is not None:
                show(done, request.limit or 0)
    return done


if __name__ == "__main__":
    sys.exit(main())
