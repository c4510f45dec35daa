"""What `--help` says of the settings of a run."""

import re

import pytest

from unirex import cli
from unirex.config.identity import OUR_METHODS

UNEXPLAINED = re.compile(r"--[\w.]+ ?(?:\S+|\{.*?\}|\[.*?\])? ?\((?:type|required)")
"""An option whose help begins with its type."""


def options(text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n  (?=--)", text)[1:]]


@pytest.mark.parametrize("method", sorted(OUR_METHODS))
def test_every_setting_of_a_run_is_explained(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", f"--method.name={method}", "--help"])
    found = options(capsys.readouterr().out)
    assert len(found) > 90
    assert sum(one.startswith("--method.") for one in found) > 5
    assert [one for one in found if UNEXPLAINED.match(one)] == []


def test_what_no_help_is_given_for_is_found() -> None:
    assert UNEXPLAINED.match("--train.lr LR (type: float, default: 0.1)")
    assert not UNEXPLAINED.match("--train.lr LR the highest learning rate. (type: float, default: 0.1)")
