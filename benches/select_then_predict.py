"""A select-then-predict model of pyhighlights on our rows, written as a prediction file that unirex-metrics reads.

    uv pip install 'pyhighlights[transformers]'
    python benches/select_then_predict.py fr-p --config sst --config minilm --data.limit=1600 --train.lr=1e-4 \
      --train.epochs=4 --train.batch_size=16 --output=fr-p.parquet
    unirex-metrics score fr-p.parquet fr-p.by-construction.parquet runs/ours/predictions.parquet

The arguments are those of `unirex train` for data, backbone, lr, epochs and batch size; everything else is as its
authors set it, but two settings: the encoder learns at our rate and the heads at theirs, and a selection is to be as
long as gold is. Names: fr, mcd, mgr, and fr-p, which learns from gold too (the others refuse that). Only texts without
a query.

It is judged as all methods here are: p(full) is the predictor's on the whole input, and words are selected by the
selector's scores, hidden from attention. The second file has the answers that such a model is meant to give, from its
own selection.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import pyhighlights
import torch
from cinnamon.registry import Registry
from pyhighlights.components.tasks import SPPTask
from pyhighlights.configurations import keys
from pyhighlights.utility.cost import Meter

from unirex.config.run import parse
from unirex.data.source import load_splits
from unirex.data.tokenization import resolve_path
from unirex.disk.predictions import Header, Prediction, to_table, write_table
from unirex.rationale.selection import top_k_masks
from unirex.schema import perturbed_column

MODELS = {
    "fr": keys.TRANSFORMER_FR,
    "fr-p": keys.TRANSFORMER_FR,
    "mcd": keys.TRANSFORMER_MCD,
    "mgr": keys.TRANSFORMER_MGR,
}
COLUMNS = [perturbed_column(kind, "attention", "self") for kind in ("keep", "remove", "null")]


class Task(SPPTask):
    """Their task over our splits."""

    def __init__(self, frames, **settings):
        super().__init__(loader=keys.TOY, **settings)
        self.frames = frames

    def splits(self):
        return self.frames

    def knowledge(self):
        return None


def frame(examples, labels):
    """A split as their loaders return it; the id is the row's number."""
    rows = []
    for number, example in enumerate(examples):
        if example.choices or len(example.segments) > 1:
            sys.exit(f"error: {example.id} has choices, a query or two documents, expected one text")
        (segment,) = example.segments
        gold = None if example.gold is None else (example.gold > 0.5).astype(int).tolist()
        rows.append((number, segment.text, segment.words, labels.index(example.label), gold))
    return pd.DataFrame(rows, columns=["sample_id", "text", "tokens", "label", "highlights"])


def share_of_gold(examples):
    return float(np.mean([np.mean(e.gold > 0.5) for e in examples if e.gold is not None and len(e.gold)]))


def trained(name, config, splits, share, folder):
    """A model, trained, and the loaders of its data."""
    Registry.build(directory=Path(pyhighlights.__file__).parent)
    path, labels = resolve_path(config.model.backbone), splits.labels
    Registry.retrieve_configuration(keys.TRANSFORMER_BACKBONE).pretrained_model_card = path
    Registry.retrieve_configuration(keys.MLP_PREDICTOR).num_classes = len(labels)
    Registry.retrieve_configuration(keys.SPARSITY_PENALTY).threshold = share
    Registry.retrieve_configuration(MODELS[name]).encoder_lr = config.train.lr
    frames = {split: frame(getattr(splits, split), labels) for split in ("train", "val", "test")}
    task = Task(
        frames,
        name=name,
        model=MODELS[name],
        seeds=[config.seed],
        batch_size=config.train.batch_size,
        max_length=config.model.max_length or 512,
        pretrained_model_card=path,
        callbacks=[keys.LOSS_CHECKPOINT],
        highlight_supervision=name.endswith("-p"),
        highlight_loss=keys.HIGHLIGHT_LOSS,
        save_path=str(folder),
        trainer_args={"accelerator": "auto", "max_epochs": config.train.epochs, "logger": False},
    )
    loaders = task.loaders(task.splits())
    lightning.seed_everything(config.seed, workers=True)
    (folder / "model").mkdir()
    model, _ = task.train(config.seed, loaders, folder / "model", Meter().start())
    return model.eval(), loaders


@torch.inference_mode()
def judged(model, loader, fractions):
    """Of each row: word scores, own selection, probabilities of whole, own, none, of fractions kept, then removed."""
    model.sample_at_evaluation = False
    for batch in (loaded.to(model.device) for loaded in loader):
        valid = model.selection_valid(batch).bool()
        own = model.reported(model(batch))
        scores = own.highlight_logits[..., 1] - own.highlight_logits[..., 0]
        tops = top_k_masks(scores, valid, fractions)
        masks = [valid, own.highlight_mask > 0.5, torch.zeros_like(valid), *tops, *[valid & ~top for top in tops]]
        probabilities = torch.stack([model.predict(batch, mask.float()).double().softmax(-1) for mask in masks], 1)
        for row, seen in enumerate(valid.sum(1).tolist()):
            parts = scores[row, :seen], own.highlight_mask[row, :seen] > 0.5, probabilities[row]
            yield tuple(part.cpu().numpy() for part in parts)


def rows(examples, labels, answers):
    """The prediction of every row read as all methods are, and that of its model by construction."""
    whole, own = [], []
    for example, (scores, chosen, probabilities) in zip(examples, answers, strict=True):
        words = example.segments[0].words
        cut = len(words) - len(scores)
        keep, remove = np.split(probabilities[3:], 2)
        same = {
            "id": example.id,
            "label": example.label,
            "words": words,
            "context": None,
            "scores": np.concatenate([scores.astype(np.float32), np.full(cut, np.nan, dtype=np.float32)]),
            "rationale": np.concatenate([chosen, np.zeros(cut, dtype=bool)]),
            "gold": example.gold,
            "words_cut": cut,
            "gold_cut": 0 if example.gold is None else int((example.gold[len(scores) :] > 0.5).sum()),
        }
        full, chosen_alone, nothing = probabilities[:3]
        constructed = np.tile(chosen_alone, (len(keep), 1)), np.tile(nothing, (len(keep), 1))
        for made, of, pair in ((whole, full, (keep, remove)), (own, chosen_alone, constructed)):
            perturbed = dict(zip(COLUMNS, (*pair, nothing), strict=True))
            made.append(Prediction(**same, prediction=labels[of.argmax()], probabilities=of, perturbed=perturbed))
    return whole, own


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    args, rest = parser.parse_known_args()
    config = parse(rest, prog="select_then_predict.py", description="")
    output, fractions = Path(config.output), tuple(config.eval.fractions)
    splits = load_splits(config.data)
    share = share_of_gold(splits.train)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        model, loaders = trained(args.model, config, splits, share, Path(folder))
        took = time.perf_counter() - start
        answers = judged(model, loaders[config.eval.split], fractions)
        whole, own = rows(getattr(splits, config.eval.split), splits.labels, answers)
    header = Header(
        labels=splits.labels,
        choice=False,
        headline=config.data.headline,
        unit="word",
        scores_from=f"pyhighlights {args.model}",
        rationale_rule="its own selection",
    )
    for path, made in ((output, whole), (output.with_suffix(".by-construction.parquet"), own)):
        about = {"model": f"pyhighlights {args.model}", "data": config.data.short_name}
        write_table(to_table(made, header, fractions=fractions, **about), path)
    kept = np.mean([np.mean(row.rationale) for row in whole])
    print(f"{args.model}: trained in {took:.0f} s, keeps {kept:.3f} of the words (gold of training: {share:.3f})")


if __name__ == "__main__":
    main()
