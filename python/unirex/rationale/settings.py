"""The settings of selections, which need no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from unirex.plugins import Registry
from unirex.ranges import Count, NotNegative, Positive, check_ranges

Rounding = Literal["half_even", "floor", "ceil"]

_BUILT_IN = {
    "hard": "unirex.rationale.relaxation:hard",
    **dict.fromkeys(("logistic", "laplace", "gumbel"), "unirex.rationale.relaxation:straight_through"),
    **dict.fromkeys(("perturbed", "imle", "aimle"), "unirex.rationale.relaxation:sampled"),
    **dict.fromkeys(("subset", "capped_simplex"), "unirex.rationale.relaxation:straight_through"),
}

ESTIMATORS: Registry[Callable[..., Any]] = Registry(
    "method.estimator",
    "unirex.estimators",
    _BUILT_IN,
    callable,
    "a function like unirex.rationale.relaxation.relax",
    # The old names are those of relaxations of the choice of one unit.
    renamed={"sparsemax": "capped_simplex", "entmax": "capped_simplex"},
)
"""Functions with the arguments and the result of `unirex.rationale.relaxation.relax`."""

READS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_BUILT_IN, ("temperature",)),
    "hard": (),
    "gumbel": ("temperature", "noise"),
    "perturbed": ("noise", "samples"),
    "imle": ("noise", "samples", "imle_step"),
    "aimle": ("noise", "samples", "aimle_target", "aimle_rate"),
}
"""The settings of `Relaxation` that each estimator reads."""


def unread_settings(estimator: str) -> set[str]:
    """The settings of `Relaxation` that an estimator does not read: none, where it is another package's."""
    return {name for names in READS.values() for name in names if name not in READS.get(estimator, (name,))}


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """How the gradient of a selection is estimated: settings of a method (`unirex.methods.joint.JointConfig`).

    Attributes:
        estimator: see `unirex.rationale.relaxation.relax`; or one of another package (`ESTIMATORS`).
        temperature: of the soft selection, in units of the scores; lower = closer to the hard selection (not of
            perturbed, imle and aimle).
        noise: standard scale of the noise added to scores (gumbel, perturbed, imle, aimle).
        samples: draws averaged (perturbed, imle, aimle).
        imle_step: how far scores move against the gradient to find the better selection (imle). As the step goes to 0
            the mean gradient becomes exact and a few draws of it noisier; docs/estimators.md has the measurement.
        aimle_target: marks to be moved per selection (aimle; see `unirex.rationale.adaptive_step.AdaptiveStep`).
        aimle_rate: by how much the size of aimle's step changes after each training step.
    """

    estimator: str = "hard"
    temperature: Positive = 0.3
    noise: NotNegative = 0.3
    samples: Count = 4
    imle_step: Positive = 1.0
    aimle_target: Positive = 1.0
    aimle_rate: Positive = 0.005

    def __post_init__(self) -> None:
        """Checks the ranges."""
        ESTIMATORS.check(self.estimator)
        check_ranges("method", self)
        if self.noise == 0 and self.estimator == "perturbed":
            raise ValueError("method.noise is 0, expected more: estimator perturbed measures what noise changes")
