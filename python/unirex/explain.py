"""`unirex explain --model DIR --input FILE --output FILE`: explains every row of a file, or files, or `--text "…"`."""

if __name__ == "__main__":  # Ctrl-C during the imports below is quiet in the command unirex
    from importlib import import_module

    import_module("unirex.cli").program("explain")

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser

from unirex.config.command_line import add_import, expand, fail
from unirex.config.corpus import Corpus, answers_of, check_format, find_files
from unirex.config.loading import load
from unirex.config.own_code import import_own
from unirex.config.shards import read_shard
from unirex.config.threads import spin_briefly
from unirex.data.errors import DataError
from unirex.data.gold import cell_list
from unirex.data.raw_text import Words
from unirex.data.rows import Row, stream_rows
from unirex.disk.made import model_digest
from unirex.disk.predictions import Header
from unirex.interrupts import terminable
from unirex.metrics.commands.progress import progress
from unirex.parsing import rephrased
from unirex.schema import Example, Perturbation
from unirex.text import is_path, line, say

if TYPE_CHECKING:
    from unirex.explainer import Columns, ExplainConfig, Explainer
    from unirex.explainer.inputs import InputReader


_IN_FOLDER = {"shard": None, "overwrite": False, "format": "parquet"}
"""Options that only a folder of answers has, and their defaults."""

Answers = Mapping[Path | None, Path | None]
"""Input, None for the texts of the command line -> file of answers, None for the terminal."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command asks for.

    Attributes:
        model: folder or hub name.
        texts: those of the command line.
        answers: where those of each input go.
        output: the file or folder of the answers, as given.
        columns, settings, loading: arguments of the explainer.
        limit: most rows of a file.
        overwrite: whether answers that were made otherwise give way; None = the output is one file.
    """

    model: str
    texts: tuple[str, ...]
    answers: Answers
    output: str | None
    columns: "Columns"
    settings: "ExplainConfig"
    loading: dict[str, Any]
    limit: int | None
    overwrite: bool | None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 2 for bad input, 130 for Ctrl-C and SIGTERM.

    An output is whole or not there; in a folder of them those that were finished before the end stay.
    """
    spin_briefly()
    try:
        with terminable():
            found = _parse(list(sys.argv[1:] if argv is None else argv))
            answers = _answers(found)
            _check_model(found.model)
            load("unirex.explainer")  # from here on with torch
            return run(_request(found, answers))
    except (ValueError, OSError, ImportError) as error:
        return fail(error)
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)  # noqa: T201
        return 130


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="unirex.explain", description=__doc__, exit_on_error=False, allow_abbrev=False)
    add = parser.add_argument
    add("--model", type=str, required=True, help="folder or hub name of a unirex model or a sequence classifier")
    add("--text", type=str, action="append", default=[], help="a text to explain; may be given several times")
    add(
        "--input",
        type=str,
        nargs="+",
        action="extend",
        default=[],
        help="JSONL, CSV, TSV or Parquet with one text a row: files, folders of them or quoted patterns",
    )
    add(
        "--output",
        "-o",
        type=str | None,
        default=None,
        help="Parquet, JSONL, CSV, or a page (.html); appears when it is complete; with --text default: the terminal; "
        "or a folder, for a file of answers of each input: what is there is kept",
    )
    add(
        "--format",
        type=Literal["parquet", "jsonl", "csv", "html"],
        default=_IN_FOLDER["format"],
        help="of the files in a folder",
    )
    add("--shard", type=str | None, default=None, help="I/N: only the I-th of N shares of the files, I from 1")
    add("--overwrite", type=bool, default=False, help="replace answers in a folder that were made otherwise")
    add("--text-column", type=str, default="text", help="the text, or a list of words")
    add("--pair-column", type=str | None, default=None, help="a second text (premise and hypothesis)")
    add("--query-column", type=str | None, default=None, help="a question about the text, never selected")
    add("--choices-column", type=str | None, default=None, help="a list of answers to choose from")
    add("--id-column", type=str | None, default=None, help="names the row; default: its number from 0")
    add("--label-column", type=str | None, default=None, help="the true class, to be scored against")
    add("--attribution", type=str | None, default=None, help="scores by attribution instead of an extractor")
    add("--steps", type=int | None, default=None, help="of integrated gradients (ig, gate_ig); default: 50")
    add(
        "--words", type=Words | None, default=None, help="a word: as in a text, or between spaces; default: the model's"
    )
    add("--fraction", type=float | None, default=None, help="share of the words in a rationale; default: the model's")
    add("--threshold", type=float | None, default=None, help="instead: words with at least this score")
    add(
        "--faithfulness",
        type=bool,
        nargs="?",
        const=True,
        default=False,
        help="measure what hiding the top words does to the answer",
    )
    add("--how", type=Perturbation, default="attention", help="how words are hidden for that")
    add("--max-length", type=int | None, default=None, help="most tokens of an input")
    add("--batch-size", type=int, default=32, help="texts in one pass")
    add("--device", type=str | None, default=None, help="cpu, cuda, ...; default: a GPU if there is one")
    add("--limit", type=int | None, default=None, help="explain only the first rows, at most so many")
    add_import(parser)
    return parser


def _parse(argv: list[str]) -> Any:
    parser = _parser()
    with rephrased(parser):
        return parser.parse_args(import_own(argv)[1])


def _answers(found: Any) -> Answers:
    """The inputs and their files of answers; nothing of it needs torch."""
    if found.limit is not None and found.limit < 1:
        raise ValueError(f"limit is {found.limit}, expected at least 1")
    if found.how != "attention" and not found.faithfulness:
        raise ValueError(f"how is {found.how!r}, expected --faithfulness with it")
    if found.steps is not None and found.attribution not in ("ig", "gate_ig"):
        raise ValueError(f"steps is {found.steps}, expected --attribution ig or gate_ig with it")
    if bool(found.input) == bool(found.text):
        given = "both are" if found.input else "neither is"
        raise ValueError(f"--input and --text: {given} given, expected one of them")
    output = expand(found.output, "output")
    files = find_files([expand(name, "input") for name in found.input])
    if files and output is None:
        raise ValueError("--output is missing, expected a file that ends in .parquet, .jsonl, .csv or .html")
    if files and _is_folder(output):
        answers = answers_of(files, Path(output), f".{found.format}")
        return {file: answers[file] for file in (read_shard(found.shard).share(files) if found.shard else files)}
    _check_one_output(found, output, files)
    return {file: None if output is None else Path(output) for file in (files or (None,))}


def _is_folder(output: str) -> bool:
    """Whether an output is a folder: one that is there, or a name that ends in a slash or has no ending."""
    return Path(output).is_dir() or output.endswith(("/", os.sep)) or not Path(output).suffix


def _check_one_output(found: Any, output: str | None, files: Sequence[Path]) -> None:
    """Refuses an output that is no file, or not the only one that is asked for."""
    if output is not None:
        check_format(Path(output))
        if _is_folder(output):
            raise ValueError(f"output {output} is a folder, expected a file")
        if any(Path(output).resolve() == file.resolve() for file in files):
            raise ValueError(f"output is {output!r}, expected another file than the input")
    if len(files) > 1:
        raise ValueError(f"output is {output!r}, expected a folder for the answers of {len(files)} files")
    for option, default in _IN_FOLDER.items():
        if found[option] != default:
            raise ValueError(f"--{option} is given, expected --input and a folder as --output with it")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("there are several processes, expected --input and a folder as --output, to share its files")


def _check_model(name: str) -> None:
    """Refuses a path without a model before torch is imported."""
    path = expand(name, "model")
    if is_path(path) and not Path(path).is_dir():
        raise ValueError(f"model is {path!r}, expected a folder that is there")


def _request(found: Any, answers: Answers) -> Request:
    from unirex.explainer import Columns, ExplainConfig
    from unirex.judging.saved import STEPS

    output = expand(found.output, "output")
    loading = {name: found[name] for name in ("attribution", "device", "words", "max_length")}
    return Request(
        model=expand(found.model, "model"),
        texts=tuple(found.text),
        answers=answers,
        output=output,
        columns=Columns(**{field.name: found[f"{field.name}_column"] for field in fields(Columns)}),
        settings=ExplainConfig(
            **{name: found[name] for name in ("fraction", "threshold", "faithfulness", "how", "batch_size")}
        ),
        loading={**loading, "steps": STEPS if found.steps is None else found.steps},
        limit=found.limit,
        overwrite=found.overwrite if found.input and _is_folder(output) else None,
    )


def run(request: Request) -> int:
    """Explains texts, a file or many files; returns the exit code."""
    from unirex.explainer import Explainer

    if request.overwrite is not None:
        return _run_corpus(request, overwrite=request.overwrite)
    explainer = Explainer.from_pretrained(request.model, **request.loading)
    for source, output in request.answers.items():
        _explain(request, explainer, source, output)
    return 0


def _run_corpus(request: Request, *, overwrite: bool) -> int:
    """Explains the files that have no answers yet, past those with a fault."""
    from unirex.explainer import Explainer
    from unirex.judging.saved import find_model

    folder = find_model(request.model)
    answers = {source: output for source, output in request.answers.items() if source and output}
    corpus = Corpus(answers=answers, made=_made(request, folder), overwrite=overwrite)
    todo = corpus.unmade()
    done, faulty = 0, 0
    try:
        explainer = Explainer.from_pretrained(folder, **request.loading) if todo else None
        for source in corpus.claimed(todo):
            assert explainer is not None
            try:
                _explain(request, explainer, source, answers[source])
                done += 1
            except DataError as error:
                faulty += 1
                say(line(f"error: {error}"), error=True)
    except KeyboardInterrupt:
        say("stopped; finished files stay, and the same command goes on with the others", error=True)
        return 130
    kept = len(answers) - len(todo)
    counts = {"kept": kept, "explained": done, "faulty": faulty, "by other processes": len(todo) - done - faulty}
    shown = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    say(f"{request.output}: {shown or 'none'} of {len(answers)} files")
    return 2 if faulty else 0


def _made(request: Request, folder: str) -> dict[str, Any]:
    """What answers depend on besides their input; a batch or a device changes no more than rounding."""
    return {
        "model": model_digest(folder),
        "columns": asdict(request.columns),
        "settings": {name: value for name, value in asdict(request.settings).items() if name != "batch_size"},
        "loading": {name: value for name, value in request.loading.items() if name != "device"},
        "limit": request.limit,
    }


def _explain(request: Request, explainer: "Explainer", source: Path | None, output: Path | None) -> None:
    """Explains the rows of a file, or the texts, one after another; the output appears once all of them are done."""
    from unirex.explainer.output import explanation_file

    texts = ((f"--text {at}", {request.columns.text: text}) for at, text in enumerate(request.texts, start=1))
    rows = texts if source is None else stream_rows(source)
    waiting: deque[Mapping[str, Any]] = deque()
    answers = explainer.explain(_examples(explainer.reader(request.columns), request, rows, waiting), request.settings)
    if output is None:
        for answer in answers:
            say(answer.to_text())
        return
    started = time.perf_counter()
    saved = explainer.saved
    header = Header(
        labels=saved.labels,
        choice=saved.choice,
        headline="accuracy",
        unit="word",
        scores_from=str(saved.scores_from),
        rationale_rule=request.settings.rule(saved.rationale_fraction),
    )
    name = "texts" if source is None else source.name
    opened = explanation_file(output, header, fractions=request.settings.fractions, model=request.model, data=name)
    output.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    try:
        with progress("explained") as show, opened as write:
            for answer in answers:
                write(answer, waiting.popleft())
                done += 1
                show(done, request.limit or 0)
    except DataError as error:
        if source is None or str(source) in str(error):
            raise
        raise DataError(f"{source}: {error}") from None
    seconds = time.perf_counter() - started
    say(f"explained {done:,} rows in {seconds:.1f} s ({done / seconds:,.0f} a second): {output}")


def _examples(
    reader: "InputReader", request: Request, rows: Iterator[Row], waiting: deque[Mapping[str, Any]]
) -> Iterator[Example]:
    """The examples of the rows, which wait to be written with the answers."""
    seen: dict[str, str] = {}
    blank: list[str] = []
    for number, (where, row) in enumerate(islice(rows, request.limit)):
        if number == 0:
            _tell_unread(where, row, request.columns)
        example = reader.example(row, number, where)
        if not example.words:
            blank.append(where)
        if request.columns.id is not None:
            if example.id in seen:
                raise DataError(f"{where}: id {example.id!r} is a duplicate, expected it once ({seen[example.id]})")
            seen[example.id] = where
        waiting.append({} if request.texts else row)
        yield example
    if blank:
        say(line(f"note: {len(blank)} without a word, the first {blank[0]}: no word explains the answer"), error=True)


def _tell_unread(where: str, row: Mapping[str, Any], columns: "Columns") -> None:
    """Says which columns look like a part of the input and are not read, or not as what they look like."""
    text = row.get(columns.text)
    with suppress(DataError):
        if isinstance(text, str) and text.startswith('["') and all(isinstance(w, str) for w in cell_list(text)):
            found = f"column {columns.text} is read as text, though it looks like a list of words"
            say(line(f"{where}: {found} (Parquet and JSON lines hold lists)"), error=True)
    for kind, name in (("pair", "text_pair"), ("query", "query"), ("choices", "choices")):
        if getattr(columns, kind) is None and row.get(name):
            say(line(f"{where}: column {name} is not read (--{kind}-column {name} would)"), error=True)
