"""The loop of `unirex.train`, for tests that bring their own dev metrics."""

from collections.abc import Callable

from unirex.training.loop import Progress, Training
from unirex.training.stopping import Stop


def fit(
    training: Training, score_dev: Callable[[int], dict[str, float]], keep_best: Callable[[], None] = lambda: None
) -> Progress:
    """Trains to the end, with `score_dev` in place of judging and `keep_best` in place of saving the model."""
    with Stop() as stop, training.interruptible(stop):
        for epoch in training.epochs():
            with training.explaining():
                metrics = score_dev(epoch)
            if training.improves(metrics):
                keep_best()
            training.end_epoch(metrics)
    return training.progress
