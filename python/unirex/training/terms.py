"""What a method gives in each step, its weights and its terms, checked: those of the user's own may give anything."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unirex.methods.method import Method
from unirex.text import shown


def weights_of(method: Method) -> Mapping[str, float]:
    """The weight of each term in this step.

    Raises:
        ValueError: they are no numbers by name.
    """
    weights: Any = method.weights
    if not isinstance(weights, Mapping) or not all(isinstance(weight, int | float) for weight in weights.values()):
        found = f"{type(method).__name__}.weights is {shown(weights)}"
        raise ValueError(f"{found}, expected a property that gives a number for each term")
    return weights


def total(method: Method, terms: Any, weights: Mapping[str, float]) -> Tensor:
    """The sum of the terms, each times its weight.

    Raises:
        ValueError: there are none, or one is no tensor of one number or has no weight.
    """
    if not isinstance(terms, Mapping) or not terms:
        raise ValueError(f"{type(method).__name__}.forward gave {shown(terms)}, expected terms by name")
    return torch.stack([_weighted(name, term, weights) for name, term in terms.items()]).sum()


def _weighted(name: str, term: Any, weights: Mapping[str, float]) -> Tensor:
    if not isinstance(term, Tensor) or term.shape:
        found = f"has shape {list(term.shape)}" if isinstance(term, Tensor) else f"is a {type(term).__name__}"
        raise ValueError(f"term {name!r} {found}, expected a tensor of one number: this batch's share of the mean")
    try:
        return weights[name] * term
    except KeyError:  # a mapping may know more than it lists
        raise ValueError(f"term {name!r} has no weight, expected one of {', '.join(weights)}") from None
