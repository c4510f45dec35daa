"""Any sequence classifier, with scores from its gradients, or judged by word scores that were made elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from unirex.backbone import family_inputs, plan_passes, reach
from unirex.data.collate import Batch, Rows, drop_padding
from unirex.extractors.attribution import Attribution, AttributionConfig, attribute
from unirex.extractors.target import Target
from unirex.gates import Gate, take_gates
from unirex.methods.method import Explanation
from unirex.perturb import FillTokens
from unirex.schema import Example
from unirex.untrusted import read_json


class ClassifierTarget(Target):
    """The same as for our own models, for a classifier that is only known by its call."""

    def logits(self, embeddings_PLD: Tensor, index_P: Tensor | None = None) -> Tensor:
        """Logits float32 [P, C] of embedded rows."""
        rows = self.rows if index_P is None else self.rows.take(index_P)
        return classify(self.backbone, rows, embeddings_PLD)

    def logit_of_rows(self, rows: Rows, index_P: Tensor) -> Tensor:
        """The explained logit of rows in which tokens may be hidden, float32 [P]."""
        return self.of_class(classify(self.backbone, rows), index_P)


def classify(model: Any, rows: Rows, embeddings_BLD: Tensor | None = None) -> Tensor:
    """Logits float32 [B, C] of a sequence classifier; hidden tokens are masked, gates act on every attention weight."""
    inputs: dict[str, Any] = {"attention_mask": rows.visible_BL.long(), **family_inputs(model.config, rows)}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = rows.token_types_BL
    content = {"input_ids": rows.input_ids_BL} if embeddings_BLD is None else {"inputs_embeds": embeddings_BLD}
    if rows.gates_BL is not None:
        take_gates(model)
        inputs["gate"] = Gate(rows.gates_BL)
    logits_BC: Tensor = model(**inputs, **content).logits
    if rows.gates_BL is not None:
        inputs["gate"].check_used(model)
    return logits_BC.float()


class Classifier(nn.Module):
    """A classifier of the transformers library as something that can be judged.

    Its scores are the attributions of its predicted class by the method `attribution`; without one they are zero.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        fill: FillTokens,
        attribution: Attribution | None = None,
        settings: AttributionConfig | None = None,
    ) -> None:
        super().__init__()
        self.model: Any = model
        if self.model.config.pad_token_id is None:  # a decoder looks for it to find the last token of a row
            self.model.config.pad_token_id = fill.pad_id
        self.fill = fill
        self.attribution = attribution
        self.settings = settings or AttributionConfig()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        names: dict[int, str] = self.model.config.id2label
        return tuple(names[i] for i in sorted(names))

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input, and scores."""
        logits_IC = self.perturbed(batch.rows, batch.n_choices, None)
        scores_BL = torch.zeros(batch.words_BL.shape, device=batch.words_BL.device)
        gap_B: Tensor | None = None
        if self.attribution is not None:
            # Rows of one length at a time: a decoder given embeddings cannot tell padding from text.
            lengths_B = reach(batch.rows.visible_BL)
            for length in lengths_B.unique().tolist():
                index_P = (lengths_B == length).nonzero().squeeze(1)
                words_PL = batch.words_BL[index_P, :length]
                target = ClassifierTarget(
                    backbone=self.model,
                    classify=nn.Identity(),
                    pooling="last" if self.is_decoder else "first",
                    rows=drop_padding(batch.rows.take(index_P), length),
                    selectable_BL=words_PL >= 0,
                    class_B=logits_IC[index_P].argmax(1),
                    fill=self.fill,
                    seeds_B=batch.index_I[index_P],
                    max_tokens=self.settings.max_tokens,
                )
                scores_PL, part_P = attribute(target, words_PL, self.attribution, self.settings)
                scores_BL[index_P, :length] = scores_PL
                if part_P is not None:
                    gap_B = torch.zeros(len(scores_BL), device=scores_BL.device) if gap_B is None else gap_B
                    gap_B[index_P] = part_P.float()
        return Explanation(logits_IC=logits_IC, scores_BL=scores_BL, gap_B=gap_B)

    @property
    def is_decoder(self) -> bool:
        """Whether a token sees those before it only, and the last one answers."""
        name = self.model.config.model_type
        return bool(
            getattr(self.model.config, "is_decoder", False)
            or (name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and name not in MODEL_FOR_MASKED_LM_MAPPING_NAMES)
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
            logits.append(classify(self.model, part))
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
