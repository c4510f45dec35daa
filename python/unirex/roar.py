"""`python -m unirex.roar`: which words remove-and-retrain hides next, from the scores of a model (docs/suites.md)."""

if __name__ == "__main__":  # Ctrl-C during the imports below is quiet in the command unirex
    from importlib import import_module

    import_module("unirex.cli").program("roar")

from collections.abc import Sequence
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser
from numpy.typing import NDArray

from unirex.config.command_line import expand, guarded
from unirex.data.masks import file_of, read_masks, with_top, write_masks
from unirex.judging.given_scores import word_scores
from unirex.parsing import rephrased
from unirex.text import say


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 2 for bad input, 130 for Ctrl-C."""
    return guarded(lambda given: run(_parse(given)), argv)


def _parse(argv: list[str]) -> Any:
    parser = ArgumentParser(prog="unirex.roar", description=__doc__, exit_on_error=False, allow_abbrev=False)
    add = parser.add_argument
    add(
        "--scores",
        type=str,
        nargs="+",
        action="extend",
        required=True,
        help="predictions of every split, or files with id and scores",
    )
    add("--output", type=str, required=True, help="folder of the masks (data.masked)")
    add("--share", type=float, required=True, help="of the words of each text, those masked before among them")
    add("--before", type=float, default=0.0, help="share that was masked when the scores were made; 0 = nothing was")
    add("--random", type=int | None, default=None, help="seed of scores drawn at random instead, the rule to beat")
    with rephrased(parser):
        options = parser.parse_args(argv)
    if not 0 < options.share < 1:
        raise ValueError(f"--share is {options.share}, expected more than 0 and less than 1")
    if not 0 <= options.before < options.share:
        raise ValueError(f"--before is {options.before}, expected 0 or more and less than --share, {options.share}")
    if options.random is not None and options.random < 0:
        raise ValueError(f"--random is {options.random}, expected a seed of at least 0")
    return options


def run(options: Any) -> int:
    """Reads the scores, and writes the masks of the next share; returns the exit code."""
    folder = expand(options.output, "--output")
    before = read_masks(file_of(folder, options.before)) if options.before else None
    rng = None if options.random is None else np.random.default_rng(options.random)
    masks: dict[str, NDArray[np.bool_]] = {}
    for path in options.scores:
        found = word_scores(path)
        if not found:
            raise ValueError(f"{path}: no rows, expected the scores of a text in each")
        for name, scores in found.items():
            if name in masks:
                raise ValueError(f"{path}: id {name!r} is also in an earlier file, expected it once in all")
            known = np.zeros(len(scores), np.bool_) if before is None else before.by_id.get(name)
            if known is None or len(known) != len(scores):
                there = "no row" if known is None else f"{len(known)} words"
                raise ValueError(f"{before.path if before else ''}: id {name!r}: {there}, expected {len(scores)} words")
            drawn = scores if rng is None else rng.random(len(scores))
            masks[name] = with_top(drawn, known, options.share)
    target = file_of(folder, options.share)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_masks(target, masks)
    hidden, words = sum(int(mask.sum()) for mask in masks.values()), sum(map(len, masks.values()))
    say(f"{target}: {hidden} of {words} words of {len(masks)} texts")
    return 0
