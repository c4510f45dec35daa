"""Any sequence classifier, judged by scores from its gradients or by word scores made elsewhere."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Batch, FillTokens, Rows, drop_padding
from unirex.encoder.backbone import embedding_width, model_inputs, plan_passes, reach
from unirex.encoder.families import is_causal, reads_last
from unirex.encoder.softmax_gates import run_gated
from unirex.extractors.attribution import attribute
from unirex.extractors.settings import Attribution, AttributionConfig
from unirex.extractors.target import Target
from unirex.methods.method import Explainable, Explanation


class ClassifierTarget(Target):
    """As for our own models, for a classifier that is known by its call alone."""

    def logits(self, embeddings_PLD: Tensor, index_P: Tensor | None = None) -> Tensor:
        """Logits float32 [P, C] of embedded rows."""
        rows = self.rows if index_P is None else self.rows.take(index_P)
        return classify(self.backbone, rows, embeddings_PLD)

    def logit_of_rows(self, rows: Rows, index_P: Tensor) -> Tensor:
        """The explained logit of rows in which tokens may be hidden, float32 [P]."""
        return self.of_class(answers(self.backbone, rows, self.fill.pad_id), index_P)


def classify(model: Any, rows: Rows, embeddings_BLD: Tensor | None = None) -> Tensor:
    """Logits float32 [B, C] of a sequence classifier; hidden tokens are masked, gates act on every attention weight.

    Where the last place answers (`reads_last`), that is the last one of `rows`, which `answers` sees to.
    """
    padding_B = rows.input_ids_BL[:, -1:] == model.config.pad_token_id
    if embeddings_BLD is None and reads_last(model.config) and padding_B.any():
        # By its id a last token that `pad_token` put there would be taken for padding, and the one before it read.
        embeddings_BLD = model.get_input_embeddings()(rows.input_ids_BL)
    inputs = model_inputs(model, rows, embeddings_BLD)
    output = model(**inputs) if rows.gates_BL is None else run_gated(model, rows.gates_BL, inputs)
    logits_BC: Tensor = output.logits
    return logits_BC.float()


def answers(model: Any, rows: Rows, pad_id: int, max_tokens: int | None = None) -> Tensor:
    """Logits float32 [B, C] of rows of any lengths in which tokens may be hidden.

    A model that answers from the last place takes what stands there, padding and hidden tokens too. Its rows pass in
    groups of one length, cut behind their last visible token.
    """
    rows = never_empty(rows, pad_id)
    ends = reach(rows.visible_BL).cpu().numpy()
    overhead, step = (0, 1) if reads_last(model.config) else (128, 8)
    logits, order = [], []
    for index in plan_passes(ends, overhead, max_tokens, step=step):
        index_P = torch.from_numpy(index).to(rows.visible_BL.device)
        logits.append(classify(model, drop_padding(rows.take(index_P), int(ends[index].max()))))
        order.append(index_P)
    return torch.cat(logits)[torch.cat(order).argsort()]


def never_empty(rows: Rows, pad_id: int) -> Rows:
    """The rows, with one padding token in view where there is none.

    A tokenizer that adds no token of its own (most decoders') leaves a row of nothing where all is hidden, and what a
    model makes of that depends on the tokens behind its mask, or on the rows beside it.
    """
    empty_B = ~rows.visible_BL.any(1)
    if not empty_B.any():
        return rows
    if rows.visible_BL.shape[1] == 0:
        ids_BL = rows.input_ids_BL.new_full((len(empty_B), 1), pad_id)
        return Rows(
            input_ids_BL=ids_BL, visible_BL=torch.ones_like(ids_BL, dtype=torch.bool), token_types_BL=ids_BL * 0
        )
    first_BL = torch.zeros_like(rows.visible_BL)
    first_BL[:, 0] = empty_B
    return replace(
        rows,
        input_ids_BL=torch.where(first_BL, pad_id, rows.input_ids_BL),
        visible_BL=rows.visible_BL | first_BL,
        positions_BL=None if rows.positions_BL is None else torch.where(first_BL, 0, rows.positions_BL),
    )


class Classifier(Explainable):
    """A classifier of the transformers library as something that can be judged.

    Its scores are the attributions of its predicted class by the method `attribution`; without one they are zero.
    Without `token_types` its tokenizer does not tell the texts of a pair apart, and neither does what it is given here.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        fill: FillTokens,
        attribution: Attribution | None = None,
        settings: AttributionConfig | None = None,
        *,
        token_types: bool = True,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.token_types = token_types
        if self.model.config.pad_token_id is None:  # a decoder looks for it to find the last token of a row
            self.model.config.pad_token_id = fill.pad_id
        self.fill = fill
        self.attribution = attribution
        self.settings = settings or AttributionConfig()

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input, and scores."""
        logits_IC = self.answer(batch)
        scores_BL = torch.zeros(batch.words_BL.shape, device=batch.words_BL.device)
        gap_B: Tensor | None = None
        if self.attribution is not None:
            for index_P, target in self._targets(batch, logits_IC.argmax(1)):
                length = target.selectable_BL.shape[1]
                words_PL = batch.words_BL[index_P, :length]
                scores_PL, part_P = attribute(target, words_PL, self.attribution, self.settings)
                scores_BL[index_P, :length] = scores_PL
                if part_P is not None:
                    gap_B = torch.zeros(len(scores_BL), device=scores_BL.device) if gap_B is None else gap_B
                    gap_B[index_P] = part_P.float()
        return Explanation(logits_IC=logits_IC, scores_BL=scores_BL, gap_B=gap_B)

    def answer(self, batch: Batch) -> Tensor:
        """The logits of `explain`, without an attribution."""
        return self.perturbed(batch.rows, batch.n_choices, None)

    def _targets(self, batch: Batch, class_I: Tensor) -> Iterator[tuple[Tensor, ClassifierTarget]]:
        """Rows of one length at a time, with their places: a decoder given embeddings cannot tell padding from text.

        Rows of no token at all have nothing to explain and are left out.
        """
        lengths_B = reach(batch.rows.visible_BL)
        for length in lengths_B[lengths_B > 0].unique().tolist():
            index_P = (lengths_B == length).nonzero().squeeze(1)
            yield (
                index_P,
                ClassifierTarget(
                    backbone=self.model,
                    classify=nn.Identity(),
                    pooling="last" if is_causal(self.model.config) else "first",
                    rows=self._as_tokenized(drop_padding(batch.rows.take(index_P), length)),
                    selectable_BL=batch.words_BL[index_P, :length] >= 0,
                    class_B=class_I[index_P],
                    fill=self.fill,
                    max_tokens=self.settings.max_tokens,
                ),
            )

    @property
    def embedding_width(self) -> int:
        """Numbers in an embedding."""
        return embedding_width(self.model)

    def embedded(self, batch: Batch, factors_BLD: Tensor, max_tokens: int) -> Tensor:
        """Logits float32 [B, C] of the full input whose embeddings are multiplied by factors."""
        logits, order = [], []
        for index_P, target in self._targets(batch, torch.zeros_like(batch.labels_I)):
            factors_PLD = factors_BLD[index_P, : target.selectable_BL.shape[1]]
            logits.append(replace(target, max_tokens=max_tokens).scaled(factors_PLD))
            order.append(index_P)
        empty_P = (~batch.rows.visible_BL.any(1)).nonzero().squeeze(1)
        if len(empty_P):
            logits.append(self.perturbed(batch.rows.take(empty_P), 1, max_tokens))
            order.append(empty_P)
        return torch.cat(logits)[torch.cat(order).argsort()]

    def _as_tokenized(self, rows: Rows) -> Rows:
        return rows if self.token_types else replace(rows, token_types_BL=torch.zeros_like(rows.token_types_BL))

    def perturbed(self, rows: Rows, n_choices: int, max_tokens: int | None) -> Tensor:
        """Logits float32 [B, C]; hidden tokens are masked in place, which every classifier understands."""
        if n_choices != 1:
            raise ValueError("the data are multiple choice, expected single texts or pairs for a sequence classifier")
        return answers(self.model, self._as_tokenized(rows), self.fill.pad_id, max_tokens)
