"""What every method's settings share, and what is known of a method before torch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from unirex.extractors.settings import READ_BY, Attribution, AttributionConfig
from unirex.ranges import check_ranges
from unirex.schema import WordScore

CompCriterion = Literal["margin", "diff", "prior", "unlikelihood", "probability"]
SuffCriterion = Literal["margin", "diff", "mae", "mse", "kl", "kl_mean_reversed"]
PlausCriterion = Literal["bce", "kl", "mse", "mae", "margin", "ranking"]
Divergence = Literal["jensen_shannon", "jensen_shannon_reversed"]

BY_ROW: frozenset[PlausCriterion] = frozenset({"kl", "ranking"})
"""Plausibility criteria that compare the scores of a row with one another: a shift of all of them changes nothing."""

Presets = Mapping[str, Mapping[str, Any]]
"""Preset -> key -> value."""

PAPER_ATTRIBUTION = {
    "attribution_settings.ig_steps": 3,
    "attribution_settings.ig_rule": "gauss_legendre",
    "attribution_settings.grad_pooling": "abs_sum",
}
"""Attributions in the public code of UNIREX: captum's, with the sum of absolute values for the gradient (Saliency)."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Settings that every method has; a method's own stand in a subclass, each with a default.

    Attributes:
        name: of the method.
        unit: what is selected, `token` or `word` (the tokens of a word move together).
        word_score: score of a word from its tokens.
        class_weights: weight of each class in the task terms (classes in label order); None = all 1.
    """

    name: str
    unit: Literal["token", "word"] = "token"
    word_score: WordScore = "max"
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Checks the ranges that the types of the settings name."""
        check_ranges("method", self)

    def unread(self, extractor: str | None) -> dict[str, str]:
        """Settings that nothing reads, given the others and `model.extractor`: `method.KEY` -> the reason.

        Setting one is refused, and runs that differ in it alone are the same run.
        """
        return {}

    @property
    def forbids_recomputing(self) -> str | None:
        """The setting under which `train.gradient_checkpointing` would train something else, or None."""
        return None


@dataclass(frozen=True, kw_only=True)
class AttributingConfig(MethodConfig):
    """Settings of a method whose scores may come from an attribution.

    Attributes:
        attribution: which one; see `unirex.extractors.attribution`.
        attribution_settings: its settings.
    """

    attribution: Attribution
    attribution_settings: AttributionConfig = field(default_factory=AttributionConfig)

    def unread(self, extractor: str | None) -> dict[str, str]:
        """What the attribution does not read of its settings."""
        names = sorted(name for name, by in READ_BY.items() if self.attribution not in by)
        return {f"method.attribution_settings.{name}": f"method.attribution {self.attribution}" for name in names}


def of_losses(config: MethodConfig) -> dict[str, str]:
    """The criterion, margin and target of each loss, as `method.KEY`, and the weight of that loss."""
    found: dict[str, str] = {}
    for weight in (name for name in vars(config) if name.endswith("_weight")):
        keys = (f"{weight.removesuffix('_weight')}_{what}" for what in ("criterion", "margin", "target"))
        found |= {f"method.{key}": weight for key in keys if hasattr(config, key)}
    return found


def of_zero_weights(config: MethodConfig) -> dict[str, str]:
    """Those of losses whose weight is 0, which nothing reads, and the reason."""
    return {key: f"method.{name} 0" for key, name in of_losses(config).items() if getattr(config, name) == 0}


class MethodFacts:
    """What the command line asks about a method: class attributes of every `Method`.

    The methods of this package state them in a class of their own, without torch, so that help and mistakes are
    answered at once.

    Attributes:
        config_class: the frozen dataclass of its settings.
        extractors: what scores may come from (`model.extractor`), the default first.
        presets: by preset (`unirex.config.presets`), other defaults of its settings, by dotted key inside `method`.
        preset_heads: by preset, the head (`model.head`) of each kind of extractor whose head is not linear.
    """

    config_class: ClassVar[type[MethodConfig]]
    extractors: ClassVar[tuple[str, ...]] = ("shared", "dual")
    presets: ClassVar[Presets] = {}
    preset_heads: ClassVar[Presets] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if isinstance(cls.extractors, str):
            found = repr(cls.extractors)
            raise ValueError(f"{cls.__name__}: extractors is {found}, expected a tuple, ({found},)")
        if not isinstance(cls.extractors, Sequence) or not cls.extractors:
            raise ValueError(f"{cls.__name__}: extractors is {cls.extractors!r}, expected one or more names")


def check_ascending(fractions: tuple[float, ...]) -> None:
    """Refuses no fractions, and fractions that do not ascend."""
    if not fractions or list(fractions) != sorted(set(fractions)):
        raise ValueError(f"method.fractions is {fractions}, expected ascending values without repeats")


def without_attribution(cause: str) -> dict[str, str]:
    """The settings of attribution as unread ones (`MethodConfig.unread`)."""
    names = (f"attribution_settings.{entry.name}" for entry in fields(AttributionConfig))
    return dict.fromkeys((f"method.{name}" for name in ("attribution", *names)), cause)
