"""The committed results: every entry of a ledger belongs to its suite, has a cost, and the page shows the ledger."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from unirex import suite
from unirex.metrics import Resampling, row_values
from unirex.suites import table
from unirex.suites.grid import cross
from unirex.suites.ledger import Entry, Ledger, newest, one_model
from unirex.suites.plan import Planned, completed_digest, make_plan
from unirex.suites.recipe import Suite, read_suite

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
SUITES = [
    made for path in sorted((ROOT / "recipes" / "suites").glob("*.yaml")) if (made := read_suite(str(path))).ledger
]


def entries(made: Suite) -> list[Entry]:
    assert made.ledger is not None
    return Ledger(path=made.ledger).entries()  # refuses a digest that is not that of its settings


def test_there_is_a_suite_with_a_ledger() -> None:
    assert "evidence" in [made.path.stem for made in SUITES]


@pytest.mark.parametrize("made", SUITES, ids=lambda made: made.path.stem)
def test_every_entry_that_counts_is_a_run_of_the_suite(made: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREX_DATA", "/data")
    found = newest(entries(made), made.path.stem)
    if made.chosen is not None and not made.chosen.exists():
        assert not found, f"runs of {made.path} came before their choice, {made.chosen}"
        return
    plan: Sequence[Planned] = make_plan(made, [], sorted({re.split("@| on | to ", data)[0] for data, _, _ in found}))
    if made.grid is not None:
        plan = cross(made, plan)
    wanted = {(judged.label, judged.method, run.seed): judged.digest for run in plan for judged in run.judged}
    for key, entry in found.items():
        assert key in wanted, f"{key} is not in {made.path}"
        assert wanted[key] in (entry.digest, completed_digest(entry.config)), f"{key} is of other settings"


@pytest.mark.parametrize("made", SUITES, ids=lambda made: made.path.stem)
def test_every_entry_has_its_cost_and_the_rows_of_its_metrics(made: Suite) -> None:
    for entry in entries(made):
        if made.grid is not None:
            assert entry.cost["judge_seconds"] > 0, entry.name
        else:
            assert entry.cost["columns"]["explain_seconds"] > 0, entry.name
            assert " to " in entry.data or entry.cost["train_seconds"] > 0, entry.name
        assert "/" not in str(entry.config["data"]["path"] or "").removeprefix("$UNIREX_DATA/"), entry.name
        assert made.ledger is not None
        rows = row_values.read(str(Ledger(path=made.ledger).rows(entry)))
        assert len(rows.hashes) == entry.rows
        for metric in rows.state(Resampling(replicates=0)).compute().metrics:
            value, undefined = entry.metrics[metric.name]
            expected = math.nan if value is None else value
            assert metric.value == pytest.approx(expected, abs=1e-5, nan_ok=True), (entry.name, metric.name)
            assert metric.n_undefined == undefined, (entry.name, metric.name)


def test_one_model_scores_words_alike_on_dev_and_on_test() -> None:
    """Else the code that judged one of the two explained the model in another way."""
    seen: dict[tuple[str, str, str], Entry] = {}
    compared = 0
    for entry in [entry for made in SUITES if made.grid is None for entry in entries(made)]:
        other = seen.setdefault((entry.trained, entry.method, entry.data.split("@")[0]), entry)
        # People marked 7 % of the words of Movies' dev and 32 % of its test, where every word was looked at.
        name = "comprehensiveness" if entry.data.startswith("movies") else "auprc"
        (one, _), (two, _) = (each.metrics.get(name, (None, 0)) for each in (entry, other))
        if other is not entry and one is not None and two is not None:
            compared += 1
            # On test of CoS-E, where 364 rows define it, all that learns from gold loses .07 to .11.
            bound = 0.12 if entry.data.startswith("cose") else 0.08
            assert one == pytest.approx(two, abs=bound), (entry.name, entry.split, other.split)
    assert compared >= 30


@pytest.mark.parametrize("made", [made for made in SUITES if made.grid], ids=lambda made: made.path.stem)
def test_a_column_of_a_grid_is_of_one_model(made: Suite) -> None:
    """A model trained again is another one: the old cells of its column are taken out before new ones are judged."""
    first: dict[tuple[str, int], Entry] = {}
    for (data, _, seed), entry in newest(entries(made), made.path.stem).items():
        assert one_model(first.setdefault((data, seed), entry), entry), entry.name
    assert first


@pytest.mark.parametrize("made", SUITES, ids=lambda made: made.path.stem)
def test_the_page_shows_what_the_command_prints(made: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "draw", lambda *_: [])  # figures take as long as all the rest, and are tested elsewhere
    page = tmp_path / "results.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    arguments = [str(made.path), "--table-only", "--page", str(page), "--output", str(tmp_path / "out")]
    assert suite.main(arguments) == 0
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8"), (
        f"run: python -m unirex.suite {made.path.relative_to(ROOT)} --table-only --page docs/results.md"
    )
    if made.grid is None:
        shows_the_gains(page.read_text(encoding="utf-8"), made, tmp_path / "out" / f"{made.path.stem}.json")


def shows_the_gains(page: str, made: Suite, table: Path) -> None:
    """The last column of the differences is those of the composites in the table's JSON."""
    page = page.partition(f"<!-- suite {made.path.stem} -->")[2].partition("<!-- end of suite")[0]
    gains = {(g["data"], g["method"], g["other"]): g for g in json.loads(table.read_text())["differences"]}
    blocks = re.findall(r"\*\*(.+): (.+) minus the method of the row\*\*\n\n((?:\|.*\n)+)", page)
    assert blocks or not any(entry.method in made.table.against for entry in entries(made))
    for data, ours, block in blocks:
        head, _, *rows = cells(block)
        assert head[-1] == "CNRG ↑"
        for method, *_, found in rows:
            gain = gains.get((data, ours, method))
            turned = gain is None
            gain = gain or gains[data, method, ours]
            value, *ends = (gain[name] for name in ("difference", *(("high", "low") if turned else ("low", "high"))))
            sign = -1 if turned else 1
            told = "—" if None in ends else f"{sign * value:+.3f} [{sign * ends[0]:+.3f}, {sign * ends[1]:+.3f}]"
            assert found == told, (data, method)


def cells(text: str) -> list[list[str]]:
    """The rows of a Markdown table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_table_of_the_readme_is_of_the_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Results\n")[2].partition("\n## ")[0]
    head, _, *rows = cells(text.replace("macro F1", "macro_f1").replace("CNRG ↑", "CNRG"))
    page = PAGE.read_text(encoding="utf-8").partition("<!-- suite evidence -->")[2]
    tables = [cells(page.partition(f"**{name}** (")[2].partition("\n**")[0]) for name in ("sst", "esnli")]
    assert len(rows) >= 8
    for method, *values in rows:
        for place, (title, value) in enumerate(zip(head[1:], values, strict=True)):
            names, _, *methods = tables[place // 4]
            (row,) = (row for row in methods if row[0] == method.partition(",")[0].strip("`"))
            found = row[names.index(title.removeprefix("SST ").removeprefix("e-SNLI "))]
            assert value.replace("\N{MINUS SIGN}", "-") == found.split()[0].replace("0.", ".", 1), (method, title)


def test_the_differences_of_the_readme_are_of_the_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Results\n")[2].partition("\n## ")[0]
    head, _, *rows = cells("\n".join(line[2:] for line in text.splitlines() if line.startswith("  |")))
    ours, rival = (name.strip("` ") for name in head[0].split("\N{MINUS SIGN}"))
    page = PAGE.read_text(encoding="utf-8").partition("<!-- suite evidence -->")[2]
    short = {"normalised comprehensiveness ↑": "norm. comp ↑", "normalised sufficiency ↑": "norm. suff ↑"}
    assert len(rows) == 3
    for place, data in enumerate(head[1:], 1):
        table_of = f"**{data.lower().replace('-', '')}: {ours} minus the method of the row**"
        names, _, *methods = cells(page.partition(table_of)[2].partition("\n**")[0])
        (row,) = (row for row in methods if row[0] == rival)
        for name, *values in rows:
            found = row[names.index(short.get(name, name))]
            assert values[place - 1].replace("\N{MINUS SIGN}", "-") in brief(found), (data, name)


NUMBER = r"[+-]?\d?\.\d{3}"
DIFFERENCE = re.compile(rf"({NUMBER})\s+\[({NUMBER}),\s+({NUMBER})\]")


def differences(text: str) -> dict[tuple[float, float, float], str]:
    """Value, low and high of each difference with its interval in a text, and how it is written."""
    found = DIFFERENCE.finditer(text.replace("\N{MINUS SIGN}", "-"))
    return {(float(one[1]), float(one[2]), float(one[3])): one[0] for one in found}


@pytest.mark.parametrize("file", ["README.md", "docs/results.md"])
def test_what_the_text_says_of_differences_is_in_a_table(file: str) -> None:
    """Of the page, whose tables the command makes: as there, or the other way round."""
    outside, inside = [], []
    for place, part in enumerate(re.split(r"<!-- (?:end of )?suite [\w-]+ -->", PAGE.read_text(encoding="utf-8"))):
        (inside if place % 2 else outside).append(part)
    text = "".join(outside) if file.endswith("results.md") else (ROOT / file).read_text(encoding="utf-8")
    known = differences("".join(inside))
    known |= {(-value, -high, -low): shown for (value, low, high), shown in known.items()}
    told = differences(text)
    assert len(told) >= 9
    assert [shown for key, shown in told.items() if key not in known] == []


def brief(difference: str) -> str:
    """A difference of the page as the README writes it: no 0 before the point, no + within the interval."""
    return difference.replace("0.", ".").replace("[+", "[").replace(", +", ", ")
