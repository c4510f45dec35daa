"""Any sequence classifier, judged by word scores that were made elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from unirex.backbone import plan_passes, reach
from unirex.data.collate import Batch, Rows, drop_padding
from unirex.methods.method import Explanation
from unirex.perturb import FillTokens
from unirex.schema import Example
from unirex.untrusted import naming, read_json


class Classifier(nn.Module):
    """A classifier of the transformers library as something that can be judged: it has logits but no scores."""

    def __init__(self, path: str, fill: FillTokens) -> None:
        super().__init__()
        with naming(path):
            self.model = AutoModelForSequenceClassification.from_pretrained(
                path, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
        self.fill = fill

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        names: dict[int, str] = self.model.config.id2label
        return tuple(names[i] for i in sorted(names))

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input, and scores of zero."""
        return Explanation(
            logits_IC=self.perturbed(batch.rows, batch.n_choices, None),
            scores_BL=torch.zeros(batch.words_BL.shape, device=batch.words_BL.device),
        )

    def perturbed(self, rows: Rows, n_choices: int, max_tokens: int | None) -> Tensor:
        """Logits float32 [B, C]; hidden tokens are masked in place, which every classifier understands."""
        if n_choices != 1:
            raise ValueError("the data are multiple choice, expected single texts or pairs for a sequence classifier")
        ends = reach(rows.visible_BL).cpu().numpy()
        logits, order = [], []
        for index in plan_passes(ends, 128, max_tokens):
            index_P = torch.from_numpy(index).to(rows.visible_BL.device)
            part = drop_padding(rows.take(index_P), int(ends[index].max()))
            inputs: dict[str, Any] = {"input_ids": part.input_ids_BL, "attention_mask": part.visible_BL.long()}
            if getattr(self.model.config, "type_vocab_size", 0) > 1:
                inputs["token_type_ids"] = part.token_types_BL
            logits.append(self.model(**inputs).logits.float())
            order.append(index_P)
        return torch.cat(logits)[torch.cat(order).argsort()]


def read_scores(path: str, examples: list[Example]) -> dict[str, NDArray[np.float32]]:
    """Word scores by instance id from a Parquet or JSONL file with the fields `id` and `scores`.

    Every instance needs one finite score per word; null stands for a word that the explaining model never saw and
    ranks behind all others. A prediction file of this package is such a file.

    Raises:
        ValueError: file, row, id and field of the first fault.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for row, (key, scores) in enumerate(_entries(path), start=1):
        if key in found:
            raise ValueError(f"{path}: row {row}: id {key!r} is a duplicate, expected it once")
        values = np.array([np.nan if value is None else value for value in scores], dtype=np.float64)
        bad = np.flatnonzero([value is not None and not np.isfinite(value) for value in scores])
        if len(bad):
            raise ValueError(
                f"{path}: row {row}: id {key!r}: scores[{bad[0]}] is {values[bad[0]]}, expected a finite number"
            )
        found[key] = np.where(np.isnan(values), -np.inf, values).astype(np.float32)
    for example in examples:
        if example.id not in found:
            raise ValueError(
                f"{path}: no scores for instance {example.id!r}, expected one row for each of {len(examples)}"
            )
        if len(found[example.id]) != example.n_words:
            raise ValueError(
                f"{path}: id {example.id!r}: scores has {len(found[example.id])} values, "
                f"expected {example.n_words}, one per word"
            )
    return found


def _entries(path: str) -> list[tuple[str, list[float | None]]]:
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file, expected Parquet or JSONL with the fields id and scores")
    if path.endswith(".parquet"):
        try:
            table = pq.read_table(path, columns=["id", "scores"])
        except (pa.ArrowInvalid, KeyError) as error:
            raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
        return list(zip(table["id"].to_pylist(), table["scores"].to_pylist(), strict=True))
    entries = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = read_json(line)
            entries.append((str(entry["id"]), [None if v is None else float(v) for v in entry["scores"]]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: line {number}: {error!r}, expected an object with id and a list scores"
            ) from None
    return entries
