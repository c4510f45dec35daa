"""A small suite, written to a folder, and stand-ins for its runs."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from unirex.suites import plan
from unirex.suites.launch import Launcher

SMALL = {"data": {"toy": {"n_train": 24, "n_val": 8, "n_test": 8}}, "model": {"random": {"hidden_size": 32}}}


def write(folder: Path, **changes: Any) -> Path:
    """A suite of two methods on two toy data sets, in `folder`, with some of its keys changed."""
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    (folder / "pair.yaml").write_text(yaml.safe_dump({"data": {"toy": {"kind": "pair"}}}))
    (folder / "none.yaml").write_text(yaml.safe_dump({"model": {"extractor": "none"}}))
    content = {
        "output": str(folder / "out"),
        "base": ["small.yaml"],
        "data": {"one": [], "two": "pair.yaml"},
        "methods": {"slm": {"set": {"model": {"extractor": "shared"}}}, "aa": "none.yaml"},
        "set": {"train.epochs": 1},
    }
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (content | changes).items() if v != "absent"}, sort_keys=False))
    return path


def stand_in(monkeypatch: pytest.MonkeyPatch, script: Path) -> None:
    """Lets a script make the runs of suites, and reads the settings of a run once, whose files no test changes then."""
    monkeypatch.setattr(Launcher, "_command", lambda self, module, own: [sys.executable, str(script), module, *own])
    read, known = plan._parse.__wrapped__, {}

    def parse(arguments: tuple[str, ...]) -> Any:
        if arguments not in known:
            known[arguments] = read(arguments)
        return known[arguments]

    parse.cache_clear = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(plan, "_parse", parse)
