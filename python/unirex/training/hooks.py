"""Hooks of a run: functions that are told how it goes, and one that adds terms to the method's loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from unirex.data.collate import Batch
from unirex.methods.method import Counts, Method
from unirex.text import line, shown
from unirex.training.memory import memory_ran_out

Kind = Literal["step", "epoch", "judged", "end"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What a callback is told.

    Attributes:
        kind: `step`, each time that the run writes a line of its log (`train.log_every`); `epoch`, after a pass over
            the training set; `judged`, when its model has been scored on the dev split; `end`, when the best model has
            been judged.
        step, epoch: optimizer steps and epochs done; of a method with stages, in the running one.
        metrics: `step`: loss, terms, learning rate, speed, memory, shares of the time and so on, as in the log's line;
            `judged`: the dev metrics, and `judge_seconds`; `end`: the main metrics; `epoch`: none.
    """

    kind: Kind
    step: int
    epoch: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """What a loss of the user's own is given.

    Attributes:
        logits_IC: float32, the model's answers on the full inputs.
        scores_BL: float32, one per token; None where the model has no extractor, or more than one number a token.
    """

    logits_IC: Tensor
    scores_BL: Tensor | None


Callback = Callable[[Event], object]
Loss = Callable[[Outputs, Batch], Tensor | Mapping[str, Tensor]]


class OwnCodeError(ValueError):
    """A user's own function failed, whatever its message says."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What a user adds to a run.

    Attributes:
        callbacks: called in their order in the main process; an error in one ends the run.
        loss: terms that are added to the method's, each with weight 1.
    """

    callbacks: tuple[Callback, ...] = ()
    loss: Loss | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be called."""
        for what, found in (*(("callbacks", one) for one in self.callbacks), ("loss", self.loss)):
            if found is not None and not callable(found):
                raise ValueError(f"{what}: found {shown(found)}, expected a function")

    def tell(self, event: Event) -> None:
        """Calls the callbacks.

        Raises:
            ValueError: one line that names the callback that failed.
        """
        for callback in self.callbacks:
            try:
                callback(event)
            except Exception as error:  # whatever own code does
                reason = f"{type(error).__name__}: {error}"
                where = f"{event.kind}, step {event.step}"
                raise ValueError(line(f"callback {name_of(callback)} failed ({where}): {reason}")) from error

    def check(self, recorded: str | None) -> None:
        """Refuses a configuration that names another loss than the one that is given."""
        given = None if self.loss is None else name_of(self.loss)
        if recorded != given:
            expected = (
                "expected it left out: only unirex.train(…, loss=…) gives one"
                if given is None
                else f"expected {given!r}"
            )
            raise ValueError(f"train.loss is {recorded!r}, {expected}")

    def with_loss(self, kind: type[Method]) -> type[Method]:
        """The method with the terms of `loss`, or unchanged where there is none."""
        return kind if self.loss is None else _with_terms(kind, self.loss)


def name_of(function: Callable[..., Any]) -> str:
    """What messages and configurations call a function.

    >>> name_of(max)
    'max'
    """
    return str(getattr(function, "__name__", type(function).__name__))


class _Weights(dict[str, float]):
    """Weights of a method's terms, and 1 of those that a loss has added by the time that they are asked for."""

    def __init__(self, known: Mapping[str, float], added: set[str]) -> None:
        super().__init__(known)
        self._added = added

    def __missing__(self, name: str) -> float:
        if name not in self._added:
            raise KeyError(name)
        return 1.0


def _with_terms(kind: type[Method], loss: Loss) -> type[Method]:
    """A subclass whose `forward` has the terms of `loss` too, for one more pass of the full inputs."""

    class WithTerms(kind):  # type: ignore[misc, valid-type]
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            self.added: set[str] = set()
            self.model.hold_score_bias(held=False)  # the loss may read how high the scores are

        @property
        def weights(self) -> dict[str, float]:
            return _Weights(super().weights, self.added)

        def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
            terms: dict[str, Tensor] = super().forward(batch, counts, seed)
            logits_IC, scores_BL = self.answering.full(batch)
            for name, term in _terms_of(loss, Outputs(logits_IC=logits_IC, scores_BL=scores_BL), batch).items():
                if name in terms:
                    raise ValueError(f"loss {name_of(loss)} names a term {name!r}, expected one that the method lacks")
                self.added.add(name)
                terms[name] = _share(term, len(batch.labels_I), counts, f"loss {name_of(loss)}: term {name!r}")
            return terms

    return WithTerms


def _terms_of(loss: Loss, outputs: Outputs, batch: Batch) -> Mapping[str, Tensor]:
    try:
        found = loss(outputs, batch)
    except Exception as error:  # whatever own code does
        if memory_ran_out(error):  # a smaller batch may fit
            raise
        raise OwnCodeError(line(f"loss {name_of(loss)} failed: {type(error).__name__}: {error}")) from error
    return found if isinstance(found, Mapping) else {name_of(loss): found}


def _share(term: Tensor, n_instances: int, counts: Counts, where: str) -> Tensor:
    """This batch's share of the mean over the global batch, of a mean over this batch or of one number an instance."""
    if not isinstance(term, Tensor):
        raise ValueError(f"{where} is a {type(term).__name__}, expected a tensor")
    if term.shape not in {(), (n_instances,)}:
        raise ValueError(
            f"{where} has shape {list(term.shape)}, expected [] or [{n_instances}] (one for each instance)"
        )
    return term.mean() * (n_instances / counts.instances)
