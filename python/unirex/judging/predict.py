"""From a model and a data set to prediction rows: scores, rationales and probabilities under perturbation."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unirex import _rust
from unirex.data.collate import Batch, EncodedSet, Rows
from unirex.disk.predictions import Prediction
from unirex.judging.orders import Orders, sampled
from unirex.judging.settings import EvalConfig
from unirex.judging.soft import SOFT, drawn, soft_logits, soft_shares
from unirex.methods.method import Explainable, Explanation
from unirex.rationale.perturb import hidden_tokens, perturb, perturbed_logits
from unirex.rationale.selection import pool_words, select
from unirex.schema import Example, WordScore, perturbed_column

OWN = "extractor"
"""Name of the score source that is the method's own extractor."""

BY_CONSTRUCTION = "select_then_predict"
"""Name of the source that is the extractor too, with a predictor that sees nothing but the rationale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What prediction files say of their origin: names of the model and the data, and the headline score."""

    model: str = ""
    data: str = ""
    headline: str = "accuracy"
    choice: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Judging:
    """The settings that one pass over a data set needs besides the model.

    `sources` names what is scored: `extractor` (the method's own scores), `select_then_predict` (the same scores, where
    p(full) and p(keep) are those of the hard rationale alone, and p(remove) that of no selectable token), `random`,
    `gold`, `inverse`, or any name found in `given`, which maps it to word scores by instance id.
    `checks` are other models, over the same tokens and classes, that answer for the same rationales: a rationale that
    convinces only its own model is no evidence.
    Without `perturb` there are scores and rationales, and no probabilities under perturbation; without `explain` there
    are none of the method's own scores either, and what stands for them is of no meaning.
    `shard` is the number, from 1, of one of so many shares of the batches: the others are left out. A batch is the same
    in its share as in the whole, so the rows are the same to the last bit.
    `as_trained`: in the precision of training, which is enough to choose an epoch. Else in that of the weights, so that
    a run's own result is what `unirex evaluate` finds later.
    """

    config: EvalConfig
    unit: Literal["token", "word"]
    word_score: WordScore
    rationale_fraction: float
    labels: Sequence[str]
    sources: Sequence[str] = (OWN,)
    perturb: bool = True
    explain: bool = True
    given: Mapping[str, Mapping[str, NDArray[np.float32]]] = field(default_factory=dict)
    checks: Mapping[str, Explainable] = field(default_factory=dict)
    about: About = About()
    shard: tuple[int, int] | None = None
    as_trained: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a pass over a data set runs: on which device, as which of how many processes, in which precision."""

    device: torch.device | str = "cpu"
    rank: int = 0
    processes: int = 1
    autocast: Callable[[], Any] = nullcontext


def sources(method: Explainable, config: EvalConfig) -> tuple[str, ...]:
    """What a method is judged by at the end: its scores, those by construction where it has them, and controls."""
    by_construction = (BY_CONSTRUCTION,) if method.selects_then_predicts else ()
    return (OWN, *by_construction, *config.references)


@dataclass(kw_only=True)
class Clock:
    """What judging costs one process, and explaining apart: the method's logits and scores, perturbation left out.

    Attributes:
        seconds: of explaining, so far.
        instances: explained in them.
        judging: seconds of it all.
    """

    seconds: float = 0.0
    instances: int = 0
    judging: float = 0.0

    @contextmanager
    def measure(self, instances: int, device: torch.device) -> Iterator[None]:
        """Adds the time of a block, up to the end of its work on an accelerator."""
        _wait_for(device)
        started = time.perf_counter()
        yield
        _wait_for(device)
        self.seconds += time.perf_counter() - started
        self.instances += instances


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def batches(
    data: EncodedSet, max_tokens: int, size: int, rank: int = 0, processes: int = 1
) -> Iterator[NDArray[np.int64]]:
    """Index arrays that partition a data set among processes, instances of similar length together.

    A batch has at least one instance, at most `size`, and at most `max_tokens` tokens of full inputs with padding.
    """
    order = np.argsort(-data.lengths, kind="stable")
    # Every process gets its share of each length, so that all take about the same time.
    for batch in data.shares(order[rank::processes], max_tokens):
        for start in range(0, len(batch), size):
            yield batch[start : start + size]


_HERE = Place()


@torch.no_grad()
def predict(
    method: Explainable,
    data: EncodedSet,
    judging: Judging,
    place: Place = _HERE,
    *,
    progress: Callable[[int], object] = lambda _: None,
    clock: Clock | None = None,
) -> dict[str, list[tuple[int, Prediction]]]:
    """Prediction rows with their place in the data set, by score source.

    Every process handles its own share of the instances; together they cover each instance once. Sources that need
    gold skip the instances without. `clock` adds up the time of explaining.
    """
    clock = clock or Clock()
    found: dict[str, list[tuple[int, Prediction]]] = {source: [] for source in judging.sources}
    config = judging.config
    asked_N = _asked(data, judging)
    on_gpu = torch.device(place.device).type == "cuda"
    number, of = judging.shard or (1, 1)
    all_batches = batches(data, config.max_tokens, config.batch_size, place.rank, place.processes)
    for index in islice(all_batches, number - 1, None, of):
        batch = data.collate(index, multiple=8 if on_gpu else 1).to(place.device)
        with place.autocast():
            with clock.measure(len(index), batch.labels_I.device):
                explanation = _explained(method, batch, judging)
            batch, explanation = batch.judged(), _of_all_words(explanation, batch)
            orders = {} if asked_N is None else _orders(method, batch, explanation, asked_N[index], judging)
            scores = {source: _scores(source, explanation, batch, data, judging) for source in judging.sources}
            # The order of words within a rationale that is given whole says nothing.
            ordered = {source: one for source, (one, _) in scores.items() if source != BY_CONSTRUCTION}
            outcomes = {name: one.outcomes(ordered, judging.word_score) for name, one in orders.items()}
            for source, (scores_BL, scored) in scores.items():
                answers = _by_construction if source == BY_CONSTRUCTION else _answers
                probabilities_IC, perturbed = answers(method, batch, explanation, scores_BL, judging)
                perturbed |= {name: made[source] for name, made in outcomes.items() if source in made}
                if SOFT in config.how and judging.perturb and source != BY_CONSTRUCTION:
                    ids = [data.examples[i].id for i in index]
                    perturbed |= _soft(method, batch, scores_BL, ids, judging)
                rows = _rows(data, batch, probabilities_IC, scores_BL, perturbed, judging)
                if source in (OWN, BY_CONSTRUCTION):
                    rows = _with_gaps(rows, explanation)
                found[source] += [(at, row) for at, row, yes in zip(index.tolist(), rows, scored, strict=True) if yes]
        progress(len(index))
    return found


def _explained(method: Explainable, batch: Batch, judging: Judging) -> Explanation:
    """The method's explanation; where its scores are not asked for, its answer and zeros."""
    if judging.explain and set(judging.sources) & {OWN, BY_CONSTRUCTION}:
        found: Any = method.explain(batch)
        _check_explanation(type(method).__name__, found, batch)
        return cast("Explanation", found)
    return Explanation(logits_IC=method.answer(batch), scores_BL=torch.zeros_like(batch.gold_BL))


def _of_all_words(explanation: Explanation, batch: Batch) -> Explanation:
    """The explanation without scores of words that an extractor with a tokenizer of its own does not read."""
    if batch.read_BL is None:
        return explanation
    unread_BL = (batch.read_BL >= 0) & ~batch.selectable_BL
    return replace(explanation, scores_BL=explanation.scores_BL.float().masked_fill(unread_BL, -torch.inf))


def _check_explanation(whose: str, found: Any, batch: Batch) -> None:
    """Refuses what a method of the user's own must not give: no explanation, or one of another shape."""
    if not isinstance(found, Explanation):
        raise ValueError(f"{whose}.explain gave a {type(found).__name__}, expected an Explanation")
    shapes = [*found.scores_BL.shape], [*batch.gold_BL.shape]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{whose}.explain gave scores_BL of shape {shapes[0]}, expected {shapes[1]} (as the tokens)")
    n = len(batch.index_I)
    if found.logits_IC.dim() != 2 or len(found.logits_IC) != n:
        shape = [*found.logits_IC.shape]
        raise ValueError(f"{whose}.explain gave logits_IC of shape {shape}, expected {n} rows, one for each instance")


def _scores(
    source: str, explanation: Explanation, batch: Batch, data: EncodedSet, judging: Judging
) -> tuple[Tensor, list[bool]]:
    """Scores [B, L] of a source and which instances it can score."""
    index = batch.index_I.tolist()
    examples = [data.examples[i] for i in index]
    has_gold = batch.has_gold_B[:: batch.n_choices].tolist()
    if source in (OWN, BY_CONSTRUCTION):
        return explanation.scores_BL.float(), [True] * len(index)
    if source == "gold":
        return batch.gold_BL, has_gold
    if source == "inverse":
        return 1 - batch.gold_BL, has_gold
    if source == "random":
        width, seed = batch.words_BL.shape[1], judging.config.seed
        rows = [np.repeat(drawn(f"{seed}\0{e.id}", width)[None], batch.n_choices, 0) for e in examples]
        return torch.from_numpy(np.concatenate(rows)).to(batch.words_BL.device), [True] * len(index)
    by_id = judging.given[source]
    scores = [
        _on_tokens(by_id[e.id], batch.words_BL[i * batch.n_choices :][: batch.n_choices])
        for i, e in enumerate(examples)
    ]
    return torch.cat(scores), [True] * len(index)


def _with_gaps(rows: list[Prediction], explanation: Explanation) -> list[Prediction]:
    """The rows with what their own attributions miss of completeness (of several choices, the worst)."""
    if explanation.gap_B is None:
        return rows
    gaps = explanation.gap_B.view(len(rows), -1).amax(1).tolist()
    return [replace(row, completeness_gap=gap) for row, gap in zip(rows, gaps, strict=True)]


def _on_tokens(scores_W: NDArray[np.float32], words_BL: Tensor) -> Tensor:
    values = torch.from_numpy(np.append(scores_W, np.float32(0))).to(words_BL.device)
    return values[words_BL]


Answers = tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]
"""Probabilities [I, C] on the full input, and by column those under perturbation."""


def _answers(
    method: Explainable, batch: Batch, explanation: Explanation, scores_BL: Tensor, judging: Judging
) -> Answers:
    """What the method and the check models answer when inputs are perturbed by the scores."""
    config = judging.config
    full_IC = _probabilities(explanation.logits_IC)
    if not judging.perturb:
        return full_IC, {}
    rationale_KBL = select(scores_BL, batch.words_BL, config.fractions, judging.unit, judging.word_score)
    perturbed = _perturbed("self", method, batch, rationale_KBL, config)
    for name, check in judging.checks.items():
        perturbed[f"full.{name}"] = _probabilities(check.perturbed(batch.rows, batch.n_choices, config.max_tokens))
        perturbed |= _perturbed(name, check, batch, rationale_KBL, config)
    return full_IC, perturbed


def _perturbed(
    name: str, method: Explainable, batch: Batch, rationale_KBL: Tensor, config: EvalConfig
) -> dict[str, NDArray[np.float64]]:
    """A model's probabilities for the rationales and for their complements, by column."""
    found: dict[str, NDArray[np.float64]] = {}

    def run(rows: Rows) -> Tensor:
        return method.perturbed(rows, batch.n_choices, config.max_tokens)

    for how in config.hiding:
        logits = perturbed_logits(run, batch, rationale_KBL, ("keep", "remove"), how, method.fill)
        for kind, logits_KIC in logits.items():
            found[perturbed_column(kind, how, name)] = _probabilities(logits_KIC).transpose(1, 0, 2)
        nothing = run(perturb(batch.rows, batch.selectable_BL, how, method.fill))
        found[perturbed_column("null", how, name)] = _probabilities(nothing)
    return found


def _soft(
    method: Explainable, batch: Batch, scores_BL: Tensor, ids: list[str], judging: Judging
) -> dict[str, NDArray[np.float64]]:
    """The probabilities of all models where every token keeps as much as its score says, by column."""
    shares_BL = soft_shares(scores_BL, batch.words_BL, judging.unit, judging.word_score)
    found: dict[str, NDArray[np.float64]] = {}
    for name, model in {"self": method, **judging.checks}.items():
        for kind, logits in soft_logits(model, batch, shares_BL, ids, judging.config).items():
            values = _probabilities(logits)
            found[perturbed_column(kind, SOFT, name)] = values if kind == "null" else values.transpose(1, 0, 2)
    return found


def _asked(data: EncodedSet, judging: Judging) -> NDArray[np.bool_] | None:
    """Which instances of the data set NAOPC is measured on; None = none. It is left to the judgment of a whole run."""
    config = judging.config
    if not config.naopc_beam or not judging.perturb or judging.as_trained:
        return None
    return sampled([example.id for example in data.examples], config.naopc_rows, config.seed)


def _orders(
    method: Explainable, batch: Batch, explanation: Explanation, wanted_I: NDArray[np.bool_], judging: Judging
) -> dict[str, Orders]:
    """The orders of the batch's words by column: for each model and way to hide, found once for all sources."""
    answer_I = explanation.logits_IC.argmax(1).cpu().numpy()
    return {
        perturbed_column("orders", how, name): Orders(model, batch, answer_I, wanted_I, how, judging.config)
        for name, model in {"self": method, **judging.checks}.items()
        for how in judging.config.hiding
    }


def _by_construction(method: Explainable, batch: Batch, _: Explanation, scores_BL: Tensor, judging: Judging) -> Answers:
    """The answers of a predictor that sees the hard rationale only: sufficiency is 0, keep and full being one input.

    A file has one answer on the full input, so these are for the first way to hide alone.
    """
    config, how = judging.config, judging.config.hiding[0]
    rationale_BL = method.rationale(batch, scores_BL, judging.rationale_fraction)
    kept_IC, nothing_IC = (
        _probabilities(
            method.perturbed(perturb(batch.rows, hidden_BL, how, method.fill), batch.n_choices, config.max_tokens)
        )
        for hidden_BL in (hidden_tokens(rationale_BL, batch.selectable_BL, "keep"), batch.selectable_BL)
    )
    perturbed = {perturbed_column("null", how, "self"): nothing_IC}
    for kind, values_IC in (("keep", kept_IC), ("remove", nothing_IC)):
        perturbed[perturbed_column(kind, how, "self")] = np.repeat(values_IC[:, None], len(config.fractions), 1)
    return kept_IC, perturbed


def _probabilities(logits: Tensor) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = torch.softmax(logits.double(), dim=-1).cpu().numpy()
    return probabilities


def _rows(
    data: EncodedSet,
    batch: Batch,
    probabilities_IC: NDArray[np.float64],
    scores_BL: Tensor,
    perturbed: dict[str, NDArray[np.float64]],
    judging: Judging,
) -> list[Prediction]:
    """One row for each instance of the batch."""
    examples = [data.examples[i] for i in batch.index_I.tolist()]
    answer_I = probabilities_IC.argmax(1)
    row_I = np.arange(len(examples)) * batch.n_choices + (answer_I if batch.n_choices > 1 else 0)
    words_IL, lengths = batch.words_BL[row_I], np.array([example.n_words for example in examples], dtype=np.int64)
    width = max(1, int(lengths.max(initial=1)))
    pooled_IW = pool_words(scores_BL[row_I], words_IL, width, judging.word_score).cpu().numpy()
    seen_IW = np.zeros((len(examples), width + 1), dtype=np.bool_)
    np.put_along_axis(seen_IW, words_IL.cpu().numpy(), True, axis=1)  # -1, no word, marks the spare last column
    inside_IW = np.arange(width) < lengths[:, None]
    flat, seen = pooled_IW[inside_IW], seen_IW[:, :width][inside_IW]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    chosen = _rust.ragged_rationales(flat, offsets, seen, [judging.rationale_fraction])[0]
    scored = seen & (flat > -np.inf)  # what given scores lack counts as a word, and is not one of the rationale
    chosen, flat = chosen & scored, np.where(scored, flat, np.float32(np.nan))
    slices = [slice(start, end) for start, end in pairwise(offsets.tolist())]
    return [
        Prediction(
            id=example.id,
            label=example.label,
            prediction=(example.choice_labels or judging.labels)[int(answer_I[i])],
            probabilities=probabilities_IC[i],
            words=example.words,
            documents=documents(example),
            context=_context(example, int(answer_I[i])),
            scores=flat[words],
            rationale=chosen[words],
            gold=example.gold,
            words_cut=int(data.encoded.words_cut[batch.index_I[i]]),
            gold_cut=int(data.encoded.gold_cut[batch.index_I[i]]),
            perturbed={name: values[i] for name, values in perturbed.items()},
        )
        for i, (example, words) in enumerate(zip(examples, slices, strict=True))
    ]


def documents(example: Example) -> list[int] | None:
    """The number of words of each selectable text; None if there is only one text."""
    lengths = [len(segment.starts) for segment in example.segments if segment.selectable]
    return lengths if len(lengths) > 1 else None


def _context(example: Example, answer: int) -> str | None:
    """What the model saw besides the selectable words."""
    parts = [segment.text for segment in example.segments if not segment.selectable]
    if example.choices:
        parts.append(example.choices[answer])
    return "\n".join(parts) or None
