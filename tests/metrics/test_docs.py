"""docs/metrics.md: its examples run, and it defines every metric there is."""

import doctest
import re
import runpy
from pathlib import Path

from reference import predictions
from unirex.metrics import Resampling, score

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
LISTING = runpy.run_path(str(ROOT / "tools" / "listing.py"))


def test_the_examples_are_true() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    page = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "metrics.md", str(PAGE), 0)
    said: list[str] = []
    found = doctest.DocTestRunner(verbose=False).run(page, out=said.append)
    assert found.attempted > 20
    assert not found.failed, "".join(said)


def test_every_metric_is_defined_with_its_direction() -> None:
    text = PAGE.read_text(encoding="utf-8")
    # The sections below the table, which define what it lists.
    prose = text.partition(LISTING["END"])[2]
    arrows = {"higher": "↑", "lower": "↓"}
    for metric in score(predictions.table(0, 5, hows=("attention",)), resampling=Resampling(replicates=0)).metrics:
        family, _, _ = metric.name.partition("@" if "@" in metric.name else ":")
        documented = (
            f"`{family}:CLASS`" if ":" in metric.name else f"`{family}@T`" if "iou" in family else f"`{family}`"
        )
        assert documented in prose, metric.name
        line = next(
            line for line in prose.splitlines() if documented in line and line.lstrip().startswith(("|", "-", "`"))
        )
        if line.startswith("|") and metric.direction != "none":
            assert arrows[metric.direction] in line, metric.name


def test_the_table_of_metrics_is_that_of_the_rows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert LISTING["replaced"](text) == text, "run `python tools/listing.py docs/metrics.md`"
