"""What an explanation costs: 10,000 texts explained beside the same model that only classifies, one thread.

    OMP_NUM_THREADS=1 python benches/explain.py [--texts 10000] [--shape minilm|small] [--rounds 3]

Both read the same texts in batches of 32 texts of like length. Classifying is tokenizer and model alone: no words, no
scores. They take turns; the ratio is of the medians.
"""

import argparse
import os
import time
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from transformers import AutoConfig

from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools
from unirex.data.toy import ToyConfig, toy_examples
from unirex.explainer import Explainer
from unirex.judging.saved import Saved
from unirex.methods import METHODS
from unirex.modeling import UnirexConfig, UnirexModel

SHAPES = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "small": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512},
}
BATCH = 32
WINDOW = 1024


def build(shape: str, texts: list[str]) -> Explainer:
    """A model with random weights and a shared extractor (SLM)."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(texts)
    backbone = AutoConfig.for_model("bert", vocab_size=len(tokenizer), **SHAPES[shape]).to_dict()
    config = UnirexConfig(backbone=backbone, extractor="shared", id2label={0: "neg", 1: "pos"})
    tools = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=512)
    kind = METHODS["joint"]
    saved = Saved(
        method=kind(UnirexModel(config), kind.config_class(), tools.fill), tools=tools, labels=("neg", "pos"),
        choice=False, unit="token", word_score="max", rationale_fraction=0.2, scores_from="extractor",
    )  # fmt: skip
    return Explainer(saved, folder="random", device="cpu")


@torch.inference_mode()
def classify(explainer: Explainer, texts: list[str]) -> list[int]:
    """Labels alone."""
    tokenizer, model = explainer.saved.tools.tokenizer, explainer.method.model
    answers: list[int] = []
    for start in range(0, len(texts), WINDOW):
        ids = tokenizer(texts[start : start + WINDOW], truncation=True, max_length=512)["input_ids"]
        order = np.argsort([-len(row) for row in ids], kind="stable")
        found = np.zeros(len(ids), dtype=np.int64)
        for i in range(0, len(order), BATCH):
            index = order[i : i + BATCH]
            inputs = tokenizer.pad({"input_ids": [ids[j] for j in index]}, return_tensors="pt")
            logits = model.classifier(model.backbone(**inputs).pooler_output)
            found[index] = logits.argmax(-1).numpy()
        answers += found.tolist()
    return answers


def explain(explainer: Explainer, texts: list[str]) -> list[int]:
    """Labels, words with scores, rationales and their spans."""
    answers = []
    for answer in explainer.stream(texts, batch_size=BATCH):
        assert len(answer.words) >= len(answer.rationale)
        answers.append(explainer.labels.index(answer.label))
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--shape", choices=list(SHAPES), default="minilm")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    examples = toy_examples("train", config=ToyConfig(n_train=options.texts), seed=0)
    texts = [" ".join(example.words) for example in examples]
    explainer = build(options.shape, texts)
    times: dict[str, list[float]] = {"classify": [], "explain": []}
    for _ in range(options.rounds):
        results = []
        for name, run in (("classify", classify), ("explain", explain)):
            started = time.process_time()
            results.append(run(explainer, texts))
            times[name].append(time.process_time() - started)
        assert results[0] == results[1], "both give the same labels"
    words = sum(len(example.words) for example in examples) / len(examples)
    print(f"{options.texts:,} texts of {words:.0f} words, {options.shape} shape, one thread, {options.rounds} rounds")
    for name, seconds in times.items():
        print(f"{name:9s} {median(seconds):7.1f} s CPU  {options.texts / median(seconds):8,.0f} texts/s")
    print(f"explain / classify {median(times['explain']) / median(times['classify']):.2f}")


if __name__ == "__main__":
    main()
