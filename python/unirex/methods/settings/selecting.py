"""The settings that methods with a predictor of rationales share, which need no torch."""

from dataclasses import dataclass

from unirex.methods.settings.contract import BY_ROW, MethodConfig, PlausCriterion, of_zero_weights
from unirex.ranges import Fraction, NotNegative
from unirex.rationale.settings import Relaxation, unread_settings


@dataclass(frozen=True, kw_only=True)
class SelectingConfig(Relaxation, MethodConfig):
    """Settings of MCD and N2R. Tokens outside the rationale are hidden from attention.

    Attributes:
        fraction: share of the units in the rationale; None = the run's f*, the mean gold share of the training set.
        keep_weight: weight of the predictor's cross-entropy on the rationale, beside that on the whole input.
        coherence_weight: weight of the share of neighbouring tokens of which one is in the rationale.
        plaus_weight: weight of the plausibility of the scores.
        plaus_criterion: see `unirex.methods.objectives`.
        estimator: how the gradient passes through the selection (`unirex.rationale.relaxation.relax`). Not `hard`,
            which passes none. Its settings are `Relaxation`'s.
    """

    fraction: Fraction | None = None
    keep_weight: NotNegative = 1.0
    coherence_weight: NotNegative = 0.1
    plaus_weight: NotNegative = 0.0
    plaus_criterion: PlausCriterion = "bce"
    estimator: str = "logistic"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        super().__post_init__()
        if self.estimator == "hard":
            raise ValueError("method.estimator is 'hard', expected another one, which trains the extractor")

    def unread(self, extractor: str | None) -> dict[str, str]:
        """What the estimator and losses of weight 0 do not read."""
        settings = sorted(unread_settings(self.estimator))
        return of_zero_weights(self) | dict.fromkeys(
            (f"method.{name}" for name in settings), f"method.estimator {self.estimator}"
        )

    @property
    def forbids_recomputing(self) -> str | None:
        """Layers computed again in the backward pass, when nothing is frozen anymore, would train the predictor."""
        return f"method.name {self.name}"

    @property
    def reads_shift(self) -> bool:
        """Whether a loss changes when all scores shift."""
        by_token = self.plaus_weight > 0 and self.plaus_criterion not in BY_ROW
        return by_token or (self.unit == "word" and self.word_score == "sum")
