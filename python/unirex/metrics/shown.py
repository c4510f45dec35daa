"""How results show themselves: printed as text, as a table in a notebook, as a data frame."""

import html
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from unirex.text import plain

Records = Sequence[Mapping[str, Any]]


class Shown(ABC):
    """A result that is made of rows."""

    __slots__ = ()

    @abstractmethod
    def records(self) -> Records:
        """One dictionary a row, all with the same keys."""

    @abstractmethod
    def to_text(self) -> str:
        """The result as a table in plain text."""

    def __str__(self) -> str:
        """What `print` shows."""
        return plain(self.to_text())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(self.records())

    def to_pandas(self) -> Any:
        """The rows as a pandas data frame.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            pandas: Any = import_module("pandas")
        except ImportError as error:
            raise ImportError("to_pandas needs pandas, which is not installed: pip install pandas") from error
        return pandas.DataFrame([dict(row) for row in self.records()])


def as_json(content: Mapping[str, Any]) -> str:
    """JSON text, null where a number is not finite.

    >>> print(as_json({"auprc": float("nan")}))
    {
      "auprc": null
    }
    """
    return json.dumps(finite(content), indent=2, ensure_ascii=False)


def finite(content: Any) -> Any:
    """The content as JSON holds it: None for a number that is not finite, a list for a tuple."""
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def as_html(records: Records) -> str:
    """Rows as an HTML table; every text in it is escaped, and control characters are shown.

    >>> as_html([{"metric": "<auprc>", "value": 0.5, "low": None}])
    '<table><thead><tr><th>metric</th><th>value</th><th>low</th></tr></thead><tbody><tr><td>&lt;auprc&gt;</td>\
<td>0.5000</td><td></td></tr></tbody></table>'
    """
    names = list(records[0]) if records else []
    head = "".join(f"<th>{html.escape(plain(name))}</th>" for name in names)
    rows = ("".join(f"<td>{html.escape(plain(_cell(row[name])))}</td>" for name in names) for row in records)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
