"""The metrics of faithfulness, at each fraction and as AOPC; p is the probability of the predicted class."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics import arrays
from unirex.metrics.definitions import LOG_STEP, Family, ratio
from unirex.metrics.inputs import Perturbed
from unirex.metrics.ragged import Ragged

Floats = NDArray[np.float64]
LOG_RANGE = (-745.2, 745.2)
"""No logarithm of a positive double is further from 0."""
ERASER = "DeYoung et al. 2020"
CARTON = "Carton et al. 2020"
EDIN = "Edin et al. 2024"
_ALIKE = 1e-6
"""Orders whose mean probabilities differ by no more than a model's rounding are alike."""
SERRANO = "Serrano & Smith 2019"
Shift = Callable[[Floats, NDArray[np.int64], Floats, NDArray[np.int64], int], Floats]


def _shift(function: Shift, rows: Perturbed, perturbed: Ragged) -> Floats:
    """How a distribution over all classes changes, [n, K]."""
    return function(*rows.full.parts, *perturbed.parts, rows.n_fractions).reshape(-1, rows.n_fractions)


def _flips(rows: Perturbed) -> Floats:
    return _rust.decision_flip(rows.prediction, *rows.remove.parts, rows.n_fractions).reshape(-1, rows.n_fractions)


def _csd(rows: Perturbed) -> Floats:
    return arrays.comprehensiveness(rows.p_full, rows.p_remove) - arrays.sufficiency(rows.p_full, rows.p_keep)


def _naopc(rows: Perturbed, order: int) -> Floats:
    """How near the mean probability of an order is to the lowest of all orders, in [0, 1]; NaN where all are alike."""
    outcome = rows.orders
    span = outcome[:, 3] - outcome[:, 2]
    return ratio(outcome[:, 3] - outcome[:, order], np.where(span > _ALIKE, span, 0.0))


_Faithfulness = partial(Family, group="faithfulness", per="fraction")
_Order = partial(_Faithfulness, source=EDIN, needs=frozenset({"orders"}), per="perturbation")
_Logarithm = partial(_Faithfulness, step=LOG_STEP, main=False)

FAMILIES: tuple[Family, ...] = (
    _Faithfulness(
        name="comprehensiveness",
        direction="higher",
        meaning="how far p falls when the words with the highest scores are removed",
        source=ERASER,
        needs=frozenset({"remove"}),
        values=lambda rows: arrays.comprehensiveness(rows.p_full, rows.p_remove),
        range=(-1, 1),
        of_one_model=True,
        heading="compre\u00adhensive\u00adness",
    ),
    _Faithfulness(
        name="sufficiency",
        direction="lower",
        meaning="how far p falls when only these words are kept",
        source=ERASER,
        needs=frozenset({"keep"}),
        values=lambda rows: arrays.sufficiency(rows.p_full, rows.p_keep),
        range=(-1, 1),
        of_one_model=True,
        heading="suffi\u00adciency",
    ),
    _Faithfulness(
        name="csd",
        direction="higher",
        meaning="comprehensiveness minus sufficiency",
        needs=frozenset({"remove", "keep"}),
        values=_csd,
        range=(-2, 2),
        of_one_model=True,
    ),
    _Logarithm(
        name="log_odds",
        direction="lower",
        meaning="how far the logarithm of p rises when these words are removed",
        needs=frozenset({"remove"}),
        values=lambda rows: arrays.log_odds(rows.p_full, rows.p_remove),
        range=LOG_RANGE,
        of_one_model=True,
    ),
    _Faithfulness(
        name="normalised_comprehensiveness",
        direction="higher",
        meaning="comprehensiveness as a share of what removing every word does",
        source=CARTON,
        needs=frozenset({"remove", "null"}),
        values=lambda rows: arrays.normalised_comprehensiveness(rows.p_full, rows.p_remove, rows.p_null),
    ),
    _Faithfulness(
        name="normalised_sufficiency",
        direction="higher",
        meaning="one minus sufficiency as a share of what removing every word does",
        source=CARTON,
        needs=frozenset({"keep", "null"}),
        values=lambda rows: arrays.normalised_sufficiency(rows.p_full, rows.p_keep, rows.p_null),
    ),
    _Order(
        name="naopc_comprehensiveness",
        direction="higher",
        meaning="AOPC of removing words by score, from the worst of all orders on this model (0) to the best (1)",
        values=lambda rows: _naopc(rows, 0),
    ),
    _Order(
        name="naopc_sufficiency",
        direction="lower",
        meaning="AOPC of keeping words by score, from the best of all orders on this model (0) to the worst (1)",
        values=lambda rows: _naopc(rows, 1),
    ),
    _Logarithm(
        name="comprehensiveness_entropy",
        direction="none",
        meaning="entropy of all classes on the full input minus that without these words",
        needs=frozenset({"remove"}),
        values=lambda rows: _shift(_rust.entropy_shift, rows, rows.remove),
        range=LOG_RANGE,
    ),
    _Logarithm(
        name="sufficiency_entropy",
        direction="none",
        meaning="entropy of all classes on the full input minus that with only these words",
        needs=frozenset({"keep"}),
        values=lambda rows: _shift(_rust.entropy_shift, rows, rows.keep),
        range=LOG_RANGE,
    ),
    _Logarithm(
        name="comprehensiveness_kl",
        direction="higher",
        meaning="divergence of all classes without these words from the full input",
        needs=frozenset({"remove"}),
        values=lambda rows: _shift(_rust.kl_divergence, rows, rows.remove),
        range=(0, LOG_RANGE[1]),
    ),
    _Logarithm(
        name="sufficiency_kl",
        direction="lower",
        meaning="divergence of all classes with only these words from the full input",
        needs=frozenset({"keep"}),
        values=lambda rows: _shift(_rust.kl_divergence, rows, rows.keep),
        range=(0, LOG_RANGE[1]),
    ),
    _Faithfulness(
        name="decision_flip",
        direction="higher",
        meaning="share of rows whose prediction changes when the words with the highest scores are removed",
        source=SERRANO,
        needs=frozenset({"remove"}),
        values=_flips,
        # Comprehensiveness says the same by degrees, so the short table leaves it out.
        main=False,
        hits=True,
        of_one_model=True,
    ),
)
