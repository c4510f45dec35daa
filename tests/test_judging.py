"""What training goes by after an epoch: the highest `best`, whichever way the chosen metric points."""

import pyarrow as pa
import pytest
from accelerate import Accelerator

from reference import predictions
from unirex.inference import OWN
from unirex.judging import dev_metrics
from unirex.metrics.scoring import score
from unirex.metrics.state import Resampling

ACCELERATOR = Accelerator(cpu=True)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return predictions.table(3, 40)


@pytest.mark.parametrize(
    ("chosen", "sign"),
    [("sufficiency", -1), ("sufficiency[delete]", -1), ("comprehensiveness", 1), ("auprc", 1), ("headline", 1)],
)
def test_training_goes_by_the_metric_turned_so_that_higher_is_better(table: pa.Table, chosen: str, sign: int) -> None:
    metric = score(table, resampling=Resampling(replicates=0))[chosen]
    assert metric.direction == ("higher" if sign > 0 else "lower")
    assert metric.value != 0
    values = dev_metrics(ACCELERATOR, {OWN: table}, chosen)
    assert values["best"] == sign * metric.value
    assert values["sufficiency"] == score(table, resampling=Resampling(replicates=0))["sufficiency"].value


def test_the_composite_is_the_mean_of_task_faithfulness_and_plausibility(table: pa.Table) -> None:
    report = score(table, resampling=Resampling(replicates=0))
    expected = (report["headline"].value + report["csd"].value + report["auprc"].value) / 3
    assert dev_metrics(ACCELERATOR, {OWN: table}, "composite")["best"] == pytest.approx(expected, rel=1e-12)


def test_an_unknown_metric_is_named(table: pa.Table) -> None:
    with pytest.raises(
        ValueError, match=r"train\.best_metric is 'sufficency', expected headline, composite or one of "
    ):
        dev_metrics(ACCELERATOR, {OWN: table}, "sufficency")
