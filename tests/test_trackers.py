"""Trackers get the numbers of the log under names that each of them takes; one that fails is one line."""

from typing import Any

import pytest
from accelerate import Accelerator

from unirex.training import trackers
from unirex.training.trackers import check_trackers, start_trackers, track


def test_names_are_such_that_every_tracker_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(Accelerator, "log", lambda _, values, step: seen.update(values, at=step))
    track(Accelerator(cpu=True), {"iou_f1@0.5": 0.25, "share/full": 0.5, "my term: a+b": 1.0}, 7)
    assert seen == {"iou_f1_0.5": 0.25, "share/full": 0.5, "my term_ a_b": 1.0, "at": 7}


@pytest.mark.parametrize("name", ["mlflow", "trackio"])
def test_a_tracker_that_accelerate_knows_is_taken_where_it_is_installed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(ValueError, match=rf"^train.trackers holds '{name}', expected one that is installed \(tens"):
        check_trackers([name])
    monkeypatch.setattr(trackers, "get_available_trackers", lambda: ["tensorboard", name])
    check_trackers([name])


def test_a_tracker_that_cannot_begin_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no server\nat http://there")

    monkeypatch.setattr(Accelerator, "init_trackers", refuse)
    start_trackers(Accelerator(cpu=True), [], "")
    with pytest.raises(ValueError, match=r"^train.trackers mlflow: cannot begin .*\(RuntimeError: no server at http"):
        start_trackers(Accelerator(cpu=True), ["mlflow"], "seed: 0\n")
