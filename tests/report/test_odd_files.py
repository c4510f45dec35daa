"""Files that are not as we write them: odd rows are noted and shown, what cannot be shown is named in one line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.metrics import score
from unirex.metrics.state import Resampling
from unirex.report import build

FAST = Resampling(replicates=0)


def written(folder: Path, **changes: Any) -> Path:
    """A file of two texts with scores and gold, with these columns besides or instead."""
    columns: dict[str, Any] = {
        "id": ["a", "b"],
        "words": [["x", "y"], ["u", "v"]],
        "scores": [[0.5, 0.4], [0.1, 0.2]],
        "gold": [[1.0, 0.0], [1.0, 0.0]],
    }
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns | changes), path)
    return path


def test_odd_rows_are_noted_on_the_page_and_in_the_terminal(tmp_path: Path) -> None:
    path = written(tmp_path, scores=[[0.5, 0.5], [0.1, 0.2]])
    report = build(path, resampling=FAST)
    assert report.parts[0].report.odd == score(path, resampling=FAST).odd != ()
    assert "1 of 2 rows: all words have the same score" in report.to_text()
    assert "1 of 2 rows: all words have the same score" in report.to_html()


def test_odd_rows_of_each_class_are_noted(tmp_path: Path) -> None:
    path = written(tmp_path, scores=[[0.5, 0.5], [0.1, 0.2]], label=["p", "q"], prediction=["p", "q"])
    classes = build(path, resampling=FAST).parts[0].classes
    assert {name: one.odd for name, one in classes.items()} == {
        "p": ("1 of 1 rows: all words have the same score",),
        "q": (),
    }
