"""ERASER folders (DeYoung et al. 2020): one file of annotations per split and the documents they point into.

A document is lines of tokens separated by single spaces, and a span counts tokens from its start. Tokenisation follows
the benchmark's loaders: `docs.jsonl` keeps empty tokens (of two spaces in a row, or of a blank line) and counts them,
`docs/` drops them. An example has no empty words, so spans are counted in tokens and then carried over to words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unirex.data.errors import DataError, wrong
from unirex.data.record import QueryUse, Record, query_text
from unirex.data.rows import decode, json_lines, take
from unirex.schema import Segment


@dataclass(frozen=True, kw_only=True)
class EraserConfig:
    """What ERASER files leave open.

    Attributes:
        empty_gold: an instance whose evidence marks no word: `missing` = its rationale is unknown, `zeros` = its
            annotators looked and marked nothing.
    """

    empty_gold: Literal["missing", "zeros"] = "missing"


@dataclass(frozen=True, slots=True, eq=False)
class _Document:
    """A document's words, and for each token of the annotations whether it is a word (bool [tokens])."""

    words: list[str]
    is_word: NDArray[np.bool_]


def read_eraser(path: str, split: str, *, query: QueryUse, config: EraserConfig) -> Iterator[Record]:
    """Records of one split, in file order. One other than train may have no file or an empty one, and is empty then."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected one with {split}.jsonl and docs.jsonl or docs/")
    annotations = folder / f"{split}.jsonl"
    if split != "train" and not annotations.exists():
        return
    documents = _Documents(folder)
    for where, row in json_lines(annotations):
        yield _record(where, row, documents, query, config)


def _record(where: str, row: dict[str, Any], documents: "_Documents", query: QueryUse, config: EraserConfig) -> Record:
    name = take(where, row, "annotation_id", str, "text")
    evidences = _evidences(where, row)
    docids = _docids(where, row, name, evidences, documents)
    found = {docid: documents.get(docid, where) for docid in docids}
    marks = {docid: np.zeros(len(document.is_word), dtype=np.float32) for docid, document in found.items()}
    for evidence in evidences:
        docid = take(where, evidence, "docid", str, "text")
        if docid not in marks:
            raise wrong(where, "an evidence's docid", docid, f"one of docids ({', '.join(docids)})")
        start, end = _span(where, evidence, docid, len(marks[docid]))
        marks[docid][start:end] = 1
    gold = np.concatenate([marks[docid][found[docid].is_word] for docid in docids])
    return Record(
        where=where,
        id=name,
        label=take(where, row, "classification", (str, type(None)), "text or null"),
        texts=tuple(Segment.from_words(found[docid].words) for docid in docids),
        query=None if query == "ignore" else query_text(where, "query", row.get("query")),
        gold=gold if gold.any() or config.empty_gold == "zeros" else None,
    )


def _evidences(where: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """All evidences of all groups: the groups' union is the rationale."""
    groups = take(where, row, "evidences", (list, type(None)), "a list of groups of evidences") or []
    for group in groups:
        if not isinstance(group, list) or not all(isinstance(evidence, dict) for evidence in group):
            raise wrong(where, "evidences", groups, "a list of groups of evidences")
    return [evidence for group in groups for evidence in group]


def _docids(
    where: str, row: dict[str, Any], name: str, evidences: list[dict[str, Any]], documents: "_Documents"
) -> list[str]:
    """The instance's documents: `docids`, else those of the evidences, else the one named like the instance."""
    docids = row.get("docids")
    if docids is not None and not (isinstance(docids, list) and all(isinstance(docid, str) for docid in docids)):
        raise wrong(where, "docids", docids, "a list of document ids")
    if docids:
        return list(dict.fromkeys(docids))
    pointed = list(dict.fromkeys(take(where, evidence, "docid", str, "text") for evidence in evidences))
    if not pointed and name not in documents:
        raise wrong(where, "docids", docids, f"a list of document ids, or a document named {name!r}")
    return pointed or [name]


def _span(where: str, evidence: dict[str, Any], docid: str, n_tokens: int) -> tuple[int, int]:
    """First token and one past the last. An empty span, or -1 to -1 (position unknown), marks nothing."""
    start = take(where, evidence, "start_token", int, "a whole number")
    end = take(where, evidence, "end_token", int, "a whole number")
    if start == end == -1:
        return 0, 0
    if not 0 <= start <= end <= n_tokens:
        raise wrong(where, f"the span in document {docid!r}", [start, end], f"0 <= start <= end <= {n_tokens} (tokens)")
    return start, end


class _Documents:
    """The documents of a folder by id, cut into words when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        lines, tree = folder / "docs.jsonl", folder / "docs"
        if lines.exists() == tree.exists():
            found = "both docs.jsonl and docs/" if lines.exists() else "neither docs.jsonl nor docs/"
            raise DataError(f"{folder}: found {found}, expected one of them")
        self._tree = tree if tree.exists() else None
        self._texts: dict[str, tuple[str, str]] = {} if self._tree else _texts(lines)
        self._cut: dict[str, _Document] = {}
        self._where = str(tree if self._tree else lines)

    def __contains__(self, docid: str) -> bool:
        return docid in self._texts if self._tree is None else _is_inside(self._tree, docid)

    def get(self, docid: str, where: str) -> _Document:
        """The document; `where` is the annotation that asks for it."""
        if docid not in self._cut:
            if docid not in self:
                raise wrong(where, "docid", docid, f"a document in {self._where}")
            self._cut[docid] = self._read(docid)
        return self._cut[docid]

    def _read(self, docid: str) -> _Document:
        if self._tree is None:
            where, text = self._texts[docid]
            tokens = [token for line in text.split("\n") for token in line.strip().split(" ")]
        else:
            where = str(self._tree / docid)
            text = decode(where, (self._tree / docid).read_bytes())
            tokens = [token for line in re.split(r"\r\n?|\n", text) for token in line.strip().split(" ") if token]
        words = [token for token in tokens if token.strip()]
        if not words:
            raise DataError(f"{where}: document {docid!r} is empty, expected at least one word")
        return _Document(words, np.array([bool(token.strip()) for token in tokens], dtype=np.bool_))


def _is_inside(tree: Path, docid: str) -> bool:
    """Whether a document is a file of the folder, at any depth: a name can't lead out of it."""
    name = PurePath(docid)
    if "\0" in docid or name.is_absolute() or ".." in name.parts:
        return False
    return (tree / name).is_file()


def _texts(lines: Path) -> dict[str, tuple[str, str]]:
    """Where each document stands, and its text."""
    texts: dict[str, tuple[str, str]] = {}
    for where, row in json_lines(lines):
        docid = take(where, row, "docid", str, "text")
        if docid in texts:
            raise DataError(f"{where}: docid {docid!r} is a duplicate, expected it once (first at {texts[docid][0]})")
        texts[docid] = where, take(where, row, "document", str, "text")
    return texts
