"""ERASER files as strangers write them: what is read as the benchmark's scorer reads it, and what is told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unirex.metrics import Resampling
from unirex.metrics.commands.cli import main
from unirex.metrics.eraser.benchmark import score_eraser
from unirex.metrics.eraser.rows import score_eraser_rows

NO_DRAWS = Resampling(replicates=0)


def span(start: int, end: int) -> dict[str, int]:
    return {"start_token": start, "end_token": end}


def world(n: int = 2) -> dict[str, list[dict[str, Any]]]:
    """Instances of two documents of five and four tokens, a span of gold at the end of the first and all the second."""
    found: dict[str, list[dict[str, Any]]] = {"docs": [], "test": [], "results": []}
    for i in range(n):
        first, second = f"a{i}", f"b{i}"
        found["docs"] += [{"docid": first, "document": "w w w w w"}, {"docid": second, "document": "w w w w"}]
        evidences = [[{"text": "", "docid": first, **span(4, 5)}], [{"text": "", "docid": second, **span(0, 4)}]]
        label = "POS" if i % 2 else "NEG"
        found["test"].append({"annotation_id": f"i{i}", "query": "", "classification": label, "evidences": evidences})
        scores = {"NEG": 0.75, "POS": 0.25}
        at = {
            "threshold": 0.5,
            "comprehensiveness_classification_scores": scores,
            "sufficiency_classification_scores": scores,
        }
        found["results"].append(
            {
                "annotation_id": f"i{i}",
                "classification": "NEG",
                "classification_scores": scores,
                "comprehensiveness_classification_scores": scores,
                "sufficiency_classification_scores": scores,
                "thresholded_scores": [at],
                "rationales": [
                    {"docid": first, "hard_rationale_predictions": [], "soft_rationale_predictions": [0.1] * 5},
                    {
                        "docid": second,
                        "hard_rationale_predictions": [span(0, 4)],
                        "soft_rationale_predictions": [0.5] * 4,
                    },
                ],
            }
        )
    return found


def write(folder: Path, found: dict[str, list[dict[str, Any]]]) -> Path:
    for name, rows in found.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "results.jsonl"


def strict(folder: Path) -> Any:
    return score_eraser_rows(folder / "results.jsonl", folder, "test", resampling=NO_DRAWS)


def benchmark(folder: Path) -> dict[str, Any]:
    return score_eraser(folder / "results.jsonl", folder, "test", aopc_thresholds=[0.5])


def test_spans_do_not_run_from_one_document_into_the_next(tmp_path: Path) -> None:
    write(tmp_path, world())
    report = strict(tmp_path)
    assert report["iou_precision@0.5"].value == 1.0
    assert report["iou_recall@0.5"].value == 0.5
    assert report["token_recall"].value == 0.8
    found = world()
    for instance in found["results"]:  # the other way round: what is predicted spans the border
        instance["rationales"][0]["hard_rationale_predictions"] = [span(4, 5)]
    for annotation in found["test"]:
        annotation["evidences"] = annotation["evidences"][1:]
    write(tmp_path, found)
    report = strict(tmp_path)
    assert (report["iou_precision@0.5"].value, report["iou_recall@0.5"].value) == (0.5, 1.0)


def test_a_document_without_prediction_is_apart_too(tmp_path: Path) -> None:
    found = world()
    for instance in found["results"]:
        instance["rationales"] = instance["rationales"][1:]
        instance["rationales"][0]["docid"] = instance["rationales"][0]["docid"].replace("b", "a")
        instance["rationales"][0]["soft_rationale_predictions"] = [0.5] * 5
        instance["rationales"][0]["hard_rationale_predictions"] = [span(4, 5)]
    write(tmp_path, found)
    report = strict(tmp_path)
    assert (report["iou_precision@0.5"].value, report["iou_recall@0.5"].value) == (1.0, 0.5)


def test_a_class_that_its_scores_do_not_prefer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = world()
    found["results"][1]["classification"] = "POS"
    results = write(tmp_path, found)
    fault = 'results.jsonl:2: classification: found "POS", expected "NEG", the class with the highest score '
    fault += "(0.75, not 0.25)"
    with pytest.raises(ValueError, match="highest score") as refused:
        strict(tmp_path)
    assert str(refused.value).endswith(fault)
    note = "1 of 2 rows: the prediction is not the class with the highest probability"
    assert score_eraser_rows(results, tmp_path, "test", "paper", resampling=NO_DRAWS).odd == (note,)
    with pytest.warns(
        UserWarning, match="1 of 2 instances: the classification is not the class with the highest score"
    ):
        benchmark(tmp_path)
    words = [str(results), "--data-dir", str(tmp_path)]
    assert main(["score", *words, "--convention", "eraser", "--aopc-thresholds", "0.5"]) == 0
    assert capsys.readouterr().err == (
        f"note: {results}: 1 of 2 instances: the classification is not the class with the highest score\n"
    )
    assert main(["validate", *words]) == 2
    assert fault in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "scores", "found"),
    [
        ("classification_scores", {"NEG": 0.75, "POS": 0.5}, "a sum of 1.2500"),
        ("comprehensiveness_classification_scores", {"NEG": 0.0, "POS": 0.0}, "a sum of 0.0000"),
        ("sufficiency_classification_scores", {"NEG": 0.25, "POS": 0.25}, "a sum of 0.5000"),
    ],
)
def test_class_scores_that_do_not_sum_to_one(
    field: str, scores: dict[str, float], found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = world()
    spoiled["results"][1][field] = scores
    results = write(tmp_path, spoiled)
    fault = f"results.jsonl:2: {field}: found {found}, expected probabilities that sum to 1, give or take 0.01"
    with pytest.raises(ValueError, match="sum to 1") as refused:
        strict(tmp_path)
    assert str(refused.value).endswith(fault)
    with pytest.warns(UserWarning, match="1 of 2 instances: class scores do not sum to 1"):
        benchmark(tmp_path)
    assert main(["validate", str(results), "--data-dir", str(tmp_path)]) == 2
    assert fault in capsys.readouterr().out


def test_percent_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoiled = world()
    spoiled["results"][1]["classification_scores"] = {"NEG": 75, "POS": 25}
    results = write(tmp_path, spoiled)
    with pytest.raises(ValueError, match=r"found 75\.0, expected a probability in \[0, 1\], not percent"):
        strict(tmp_path)
    assert main(["validate", str(results), "--data-dir", str(tmp_path)]) == 2
    assert "found a sum of 100.0000 (percent?)" in capsys.readouterr().out


def test_thresholds_of_the_first_instance_do_not_decide_for_all(tmp_path: Path) -> None:
    found = world()
    more = {**found["results"][1]["thresholded_scores"][0], "threshold": 0.1}
    found["results"][1]["thresholded_scores"].append(more)
    results = write(tmp_path, found)
    with pytest.raises(
        ValueError, match=r":2: thresholded_scores: found thresholds \[0\.5, 0\.1\], expected \[0\.5\] as in"
    ):
        strict(tmp_path)
    report = score_eraser_rows(results, tmp_path, "test", aopc_thresholds=[0.5], resampling=NO_DRAWS)
    assert report.fractions == (0.5,)
    del found["results"][0]["thresholded_scores"]
    write(tmp_path, found)
    with pytest.raises(ValueError, match=r":2: thresholded_scores: found thresholds .*, expected \[\] as in the first"):
        strict(tmp_path)


def test_a_class_of_other_capitals(tmp_path: Path) -> None:
    found = world()
    for instance in found["results"]:
        instance["classification"] = "neg"
        for name in list(instance):
            if name.endswith("scores"):
                del instance[name]
    write(tmp_path, found)
    with pytest.raises(ValueError, match=r':1: classification: found the class "neg", expected "NEG" as in the annot'):
        strict(tmp_path)


def test_the_convention_is_one_that_there_is(tmp_path: Path) -> None:
    results = write(tmp_path, world())
    with pytest.raises(ValueError, match="convention is 'strickt', expected one of"):
        score_eraser_rows(results, tmp_path, "test", "strickt")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda lines: b"".join(b" \t" + line + b"\n" for line in lines),
        lambda lines: b"\r".join(lines) + b"\r",
        lambda lines: b"\r\n".join(lines) + b"\r\n",
        lambda lines: b"\xef\xbb\xbf" + b"\n".join(lines),
    ],
    ids=["blanks before a line", "lone carriage returns", "both", "a byte order mark"],
)
def test_lines_as_python_reads_them(rewritten: Any, tmp_path: Path) -> None:
    write(tmp_path, world(5))
    expected, by_strict = benchmark(tmp_path), strict(tmp_path)
    for name in ("docs", "test", "results"):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(rewritten(path.read_bytes().splitlines()))
    assert benchmark(tmp_path) == expected
    assert repr(strict(tmp_path)) == repr(by_strict)


def test_a_line_is_counted_after_lone_carriage_returns(tmp_path: Path) -> None:
    results = write(tmp_path, world(3))
    results.write_bytes(results.read_bytes().replace(b"\n", b"\r") + b"{\n")
    with pytest.raises(ValueError, match=r"results\.jsonl:4: "):
        benchmark(tmp_path)


def test_true_and_false_are_one_and_zero(tmp_path: Path) -> None:
    found = world()
    for instance in found["results"]:
        instance["rationales"][0]["soft_rationale_predictions"] = [0.0, 1.0, 0.0, 0.0, 1.0]
    write(tmp_path, found)
    expected = benchmark(tmp_path)
    for instance in found["results"]:
        instance["rationales"][0]["soft_rationale_predictions"] = [False, True, 0, False, True]
    write(tmp_path, found)
    assert benchmark(tmp_path) == expected


def test_results_by_a_pipe_are_read_once(tmp_path: Path) -> None:
    results = write(tmp_path, world(300))
    assert results.stat().st_size > 2 * (1 << 16)
    code = "import sys; from unirex.metrics.commands.cli import main; sys.exit(main())"
    outputs = []
    for convention in ("strict", "eraser"):
        for name in (str(results), "-", "/dev/stdin"):
            words = ["score", name, "--data-dir", str(tmp_path), "--convention", convention, "--json"]
            words += ["--aopc-thresholds", "0.5"]
            done = subprocess.run(
                [sys.executable, "-c", code, *words], input=results.read_bytes(), capture_output=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, b"")
            outputs.append({k: v for k, v in json.loads(done.stdout).items() if k != "about"})
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[3] == outputs[4] == outputs[5]
    words = ["validate", "-", "--data-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], input=results.read_bytes(), capture_output=True, check=False
    )
    assert done.stdout == b"no problem\n"
    with pytest.raises(ValueError, match="only this process can read it, expected a file for engine ray"):
        score_eraser("-", tmp_path, "test", engine="ray")


def test_values_in_messages_are_cut(tmp_path: Path) -> None:
    found = world()
    found["results"][1]["rationales"][0]["docid"] = "x" * 1_000_000
    write(tmp_path, found)
    for call in (strict, benchmark):
        with pytest.raises(ValueError, match="results") as refused:
            call(tmp_path)
        assert len(str(refused.value)) < 1500
