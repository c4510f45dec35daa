"""The model card: `README.md` next to the saved weights, for people and for the Hugging Face Hub."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unirex._rust import __version__
from unirex.config.identity import FREE
from unirex.config.run import RunConfig, plain
from unirex.data.store import count_gold
from unirex.disk.atomic import atomic_write
from unirex.disk.yaml_text import yaml_text
from unirex.metrics.report import ARROWS, Metric, Report
from unirex.training.assemble import Assembly

CARD = "README.md"

_LIMITS = """\
- A rationale says what this model's answer rests on, as measured by hiding words from it (comprehensiveness,
  sufficiency). It does not prove that the answer is right, nor show how a person would argue.
- Inputs with hidden words are unlike anything people write; faithfulness depends on how words are hidden.
- Answers and rationales outside the language and domain of the training data are untested.
- Scores rank the words of one text; they are not comparable between texts or models.
- Not for decisions about people without a person who checks them."""


def model_card(config: RunConfig, parts: Assembly, reports: Mapping[str, Report] | None = None, split: str = "") -> str:
    """The card's text, which names no folder of the machine that trained the model.

    Args:
        config: of the run.
        parts: of the run.
        reports: final scores by source, the model's own first; None before they are known.
        split: what they were measured on.
    """
    name = f"{config.method.name}-{config.data.short_name}"
    own = None if not reports else next(iter(reports.values()))
    asked = '{"text": text, "choices": answers}' if parts.model.config.choice else "text"
    front = yaml_text(_front_matter(config, name, own, split))
    sections = [
        f"---\n{front}---\n\n# {name}",
        _about(config, parts),
        "## Use\n\n```python\nfrom unirex.explainer import Explainer\n"
        f'explainer = Explainer.from_pretrained("THIS_MODEL")\nprint(explainer({asked}))\n```\n\n'
        "Needs the Python package `unirex` (extra `train`); no code comes with this checkpoint.",
        f"## Scores\n\n{_scores(reports, split)}",
        f"## Data\n\n{_data(config, parts)}",
        "## Intended use\n\nText classification in which people want to see the words that an answer rests on, and "
        "research on the faithfulness and plausibility of explanations.",
        f"## Limits\n\n{_LIMITS}\n- Inputs are cut after {parts.tools.max_length} tokens; words behind have no score.",
        f"## Training configuration\n\n```yaml\n{_public_yaml(config)}```",
    ]
    return "\n\n".join(sections) + "\n"


def write_card(folder: Path, text: str) -> None:
    """Writes the card into a model's folder, whole or not at all."""
    with atomic_write(folder / CARD, "w") as file:
        file.write(text)


def _front_matter(config: RunConfig, name: str, report: Report | None, split: str) -> dict[str, Any]:
    front: dict[str, Any] = {
        "library_name": "unirex",
        "pipeline_tag": "text-classification",
        "tags": ["unirex", "rationale-extraction", "explainability", "faithfulness"],
    }
    backbone = config.model.backbone
    if backbone is not None and ":" not in backbone and not _is_local(backbone):
        front["base_model"] = backbone
    if report is not None:
        metrics = [
            {"type": metric.name, "name": f"{metric.name} {ARROWS[metric.direction]}".strip(), "value": metric.value}
            for metric in report.metrics
            if metric.main and not math.isnan(metric.value)
        ]
        data = {"name": config.data.short_name, "type": config.data.short_name, "split": split}
        task = {"type": "text-classification", "name": "text classification with rationales"}
        front["model-index"] = [{"name": name, "results": [{"task": task, "dataset": data, "metrics": metrics}]}]
    return front


def _about(config: RunConfig, parts: Assembly) -> str:
    settings = parts.model.config
    extractor = {"shared": "a head on the task model's own encoder", "dual": "an encoder of its own"}
    made = extractor.get(settings.extractor, f"`{settings.extractor}`")
    kind = "Chooses between answers" if settings.choice else f"Tells {len(parts.splits.labels)} classes apart"
    return (
        f"{kind} ({', '.join(parts.splits.labels)}) and marks the words its answer rests on. Trained with unirex "
        f"{__version__}, method `{config.method.name}`; task model {settings.backbone['model_type']}, "
        f"scores from {made}."
    )


def _scores(reports: Mapping[str, Report] | None, split: str) -> str:
    if not reports:
        return "Not yet measured: training has not ended."
    own = next(iter(reports.values()))
    head = ["metric", "better", *reports]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for metric in own.metrics:
        if metric.main:
            row = [_cell(report[metric.name]) if metric.name in report else "" for report in reports.values()]
            lines.append(f"| {metric.name} | {metric.direction} | {' | '.join(row)} |")
    about = own.about
    fractions = ", ".join(f"{fraction:g}" for fraction in own.fractions)
    return (
        f"{own.n_rows} instances of the {split} split; convention `{own.convention}`, headline {own.headline}. "
        f"Faithfulness: words hidden by `{about.get('perturbation')}`, mean over the fractions {fractions} of the "
        f"{about.get('unit')}s; hard rationale: {about.get('rationale_rule')}. 95 % intervals over "
        "instances in brackets; other columns are controls on the same model.\n\n" + "\n".join(lines)
    )


def _cell(metric: Metric) -> str:
    if math.isnan(metric.value):
        return "undefined"
    interval = "" if metric.low is None or metric.high is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    out = f" ({metric.n_undefined} undefined)" if metric.n_undefined else ""
    return f"{metric.value:.4f}{interval}{out}"


def _data(config: RunConfig, parts: Assembly) -> str:
    splits = parts.splits
    sizes = ", ".join(f"{len(getattr(splits, name))} {name}" for name in ("train", "val", "test"))
    gold = count_gold(splits.train)
    made = " (made in code)" if config.data.source == "toy" else ""
    return (
        f"`{config.data.short_name}`{made}: {sizes}; {gold} training instances have a human rationale. "
        f"Queries: {config.data.query}."
    )


def _is_local(path: str) -> bool:
    return Path(path).is_absolute() or Path(path).exists()


def _public_yaml(config: RunConfig) -> str:
    """The configuration without the folders of the machine."""
    content = plain(config)
    for key in FREE:
        content.pop(key, None)
    for section, keys in (("data", ("path",)), ("model", ("backbone", "extractor_backbone"))):
        for key in keys:
            path = content[section].get(key)
            if path and _is_local(path):
                content[section][key] = Path(path).name
    return yaml_text(content)
