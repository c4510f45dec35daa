//! Bindings of `faithfulness`, `plausibility`, `complexity`, `relative_gain`, `sums` and `bootstrap`.

// p_full, p_keep, p_remove and p_null are the names of the definitions.
#![allow(clippy::similar_names)]

use numpy::{Element, Ix1, PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::prelude::*;

use super::arrays::{array, marks};
use crate::bootstrap::{self, Weights};
use crate::faithfulness;
use crate::plausibility::{self, Agreement};
use crate::ragged::Ragged;
use crate::{Error, Result, complexity, relative_gain, sums};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type Out<'py, T> = Bound<'py, PyArray1<T>>;
type Triple<'py, T> = (Out<'py, T>, Out<'py, T>, Out<'py, T>);

fn one<'py, T: Element>(name: &str, value: Any<'_, 'py>) -> PyResult<PyReadonlyArray1<'py, T>> {
    array::<T, Ix1>(name, value)
}

/// Probability of one class per row and fraction.
#[pyfunction]
pub(super) fn class_probability<'py>(
    probabilities: Any<'_, 'py>,
    offsets: Any<'_, 'py>,
    classes: Any<'_, 'py>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    let (py, values) = (probabilities.py(), one("probabilities", probabilities)?);
    let (offsets, classes) = (one("offsets", offsets)?, one("classes", classes)?);
    let (values, offsets, classes) = (values.as_slice()?, offsets.as_slice()?, classes.as_slice()?);
    let picked = py.detach(|| {
        let rows = Ragged::new("probabilities", values, offsets)?;
        faithfulness::class_probability("probabilities", &rows, classes, n_fractions)
    })?;
    Ok(picked.to_pyarray(py))
}

/// p(full) - p(remove) per row and fraction.
#[pyfunction]
pub(super) fn comprehensiveness<'py>(p_full: Any<'_, 'py>, p_remove: Any<'_, 'py>) -> PyResult<Out<'py, f64>> {
    let (py, p_full, p_remove) = (p_full.py(), one("p_full", p_full)?, one("p_remove", p_remove)?);
    let (p_full, p_remove) = (p_full.as_slice()?, p_remove.as_slice()?);
    Ok(py.detach(|| faithfulness::comprehensiveness(p_full, p_remove))?.to_pyarray(py))
}

/// p(full) - p(keep) per row and fraction.
#[pyfunction]
pub(super) fn sufficiency<'py>(p_full: Any<'_, 'py>, p_keep: Any<'_, 'py>) -> PyResult<Out<'py, f64>> {
    let (py, p_full, p_keep) = (p_full.py(), one("p_full", p_full)?, one("p_keep", p_keep)?);
    let (p_full, p_keep) = (p_full.as_slice()?, p_keep.as_slice()?);
    Ok(py.detach(|| faithfulness::sufficiency(p_full, p_keep))?.to_pyarray(py))
}

/// log p(remove) - log p(full) per row and fraction.
#[pyfunction]
pub(super) fn log_odds<'py>(p_full: Any<'_, 'py>, p_remove: Any<'_, 'py>) -> PyResult<Out<'py, f64>> {
    let (py, p_full, p_remove) = (p_full.py(), one("p_full", p_full)?, one("p_remove", p_remove)?);
    let (p_full, p_remove) = (p_full.as_slice()?, p_remove.as_slice()?);
    Ok(py.detach(|| faithfulness::log_odds(p_full, p_remove))?.to_pyarray(py))
}

/// Comprehensiveness relative to removing everything.
#[pyfunction]
pub(super) fn normalised_comprehensiveness<'py>(
    p_full: Any<'_, 'py>,
    p_remove: Any<'_, 'py>,
    p_null: Any<'_, 'py>,
) -> PyResult<Out<'py, f64>> {
    let (py, p_full) = (p_full.py(), one("p_full", p_full)?);
    let (p_remove, p_null) = (one("p_remove", p_remove)?, one("p_null", p_null)?);
    let (p_full, p_remove, p_null) = (p_full.as_slice()?, p_remove.as_slice()?, p_null.as_slice()?);
    Ok(py.detach(|| faithfulness::normalised_comprehensiveness(p_full, p_remove, p_null))?.to_pyarray(py))
}

/// One minus the sufficiency relative to removing everything.
#[pyfunction]
pub(super) fn normalised_sufficiency<'py>(
    p_full: Any<'_, 'py>,
    p_keep: Any<'_, 'py>,
    p_null: Any<'_, 'py>,
) -> PyResult<Out<'py, f64>> {
    let (py, p_full) = (p_full.py(), one("p_full", p_full)?);
    let (p_keep, p_null) = (one("p_keep", p_keep)?, one("p_null", p_null)?);
    let (p_full, p_keep, p_null) = (p_full.as_slice()?, p_keep.as_slice()?, p_null.as_slice()?);
    Ok(py.detach(|| faithfulness::normalised_sufficiency(p_full, p_keep, p_null))?.to_pyarray(py))
}

/// Whether another class than the predicted one has the highest probability.
#[pyfunction]
pub(super) fn decision_flip<'py>(
    prediction: Any<'_, 'py>,
    perturbed: Any<'_, 'py>,
    offsets: Any<'_, 'py>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    let (py, prediction) = (perturbed.py(), one("prediction", prediction)?);
    let (values, offsets) = (one("perturbed", perturbed)?, one("offsets", offsets)?);
    let (prediction, values, offsets) = (prediction.as_slice()?, values.as_slice()?, offsets.as_slice()?);
    let out = py
        .detach(|| faithfulness::decision_flip(prediction, &Ragged::new("perturbed", values, offsets)?, n_fractions))?;
    Ok(out.to_pyarray(py))
}

type PerDistribution = fn(&Ragged<'_, f64>, &Ragged<'_, f64>, usize) -> Result<Vec<f64>>;

/// Entropy of the full minus that of the perturbed distribution.
#[pyfunction]
pub(super) fn entropy_shift<'py>(
    full: Any<'_, 'py>,
    full_offsets: Any<'_, 'py>,
    perturbed: Any<'_, 'py>,
    perturbed_offsets: Any<'_, 'py>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    shift(faithfulness::entropy_shift, (full, full_offsets), (perturbed, perturbed_offsets), n_fractions)
}

/// KL(perturbed || full).
#[pyfunction]
pub(super) fn kl_divergence<'py>(
    full: Any<'_, 'py>,
    full_offsets: Any<'_, 'py>,
    perturbed: Any<'_, 'py>,
    perturbed_offsets: Any<'_, 'py>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    shift(faithfulness::kl_divergence, (full, full_offsets), (perturbed, perturbed_offsets), n_fractions)
}

fn shift<'py>(
    f: PerDistribution,
    full: (Any<'_, 'py>, Any<'_, 'py>),
    perturbed: (Any<'_, 'py>, Any<'_, 'py>),
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    let (py, values, offsets) = (full.0.py(), one("full", full.0)?, one("full_offsets", full.1)?);
    let (others, other_offsets) = (one("perturbed", perturbed.0)?, one("perturbed_offsets", perturbed.1)?);
    let (values, offsets) = (values.as_slice()?, offsets.as_slice()?);
    let (others, other_offsets) = (others.as_slice()?, other_offsets.as_slice()?);
    let out = py.detach(|| {
        f(&Ragged::new("full", values, offsets)?, &Ragged::new("perturbed", others, other_offsets)?, n_fractions)
    })?;
    Ok(out.to_pyarray(py))
}

/// One value per row from its values at the fractions.
#[pyfunction]
pub(super) fn aopc<'py>(values: Any<'_, 'py>, n_fractions: usize, sum_over_one_more: bool) -> PyResult<Out<'py, f64>> {
    let (py, values) = (values.py(), one("values", values)?);
    let values = values.as_slice()?;
    Ok(py.detach(|| faithfulness::aopc(values, n_fractions, sum_over_one_more))?.to_pyarray(py))
}

/// Calls `f` on a rationale and a gold rationale, each with its offsets.
fn on_pair<'py, T: Send>(
    rationale: (Any<'_, 'py>, Any<'_, 'py>),
    gold: (Any<'_, 'py>, Any<'_, 'py>),
    f: impl FnOnce(&Ragged<'_, u8>, &Ragged<'_, u8>) -> Result<T> + Send,
) -> PyResult<T> {
    let (py, values, offsets) =
        (rationale.0.py(), marks::<Ix1>("rationale", rationale.0)?, one("offsets", rationale.1)?);
    let (others, other_offsets) = (marks::<Ix1>("gold", gold.0)?, one("gold_offsets", gold.1)?);
    let (values, offsets) = (values.as_slice()?, offsets.as_slice()?);
    let (others, other_offsets) = (others.as_slice()?, other_offsets.as_slice()?);
    Ok(py.detach(|| f(&Ragged::new("rationale", values, offsets)?, &Ragged::new("gold", others, other_offsets)?))?)
}

/// Tokens selected and gold, selected, and gold, of each row.
#[pyfunction]
pub(super) fn token_counts<'py>(
    rationale: Any<'_, 'py>,
    offsets: Any<'_, 'py>,
    gold: Any<'_, 'py>,
    gold_offsets: Any<'_, 'py>,
) -> PyResult<Triple<'py, i64>> {
    let (py, counts) = (gold.py(), on_pair((rationale, offsets), (gold, gold_offsets), plausibility::token_counts)?);
    Ok((counts.both.to_pyarray(py), counts.selected.to_pyarray(py), counts.gold.to_pyarray(py)))
}

/// Token precision, recall and F1 of each row.
#[pyfunction]
pub(super) fn token_agreement<'py>(
    rationale: Any<'_, 'py>,
    offsets: Any<'_, 'py>,
    gold: Any<'_, 'py>,
    gold_offsets: Any<'_, 'py>,
) -> PyResult<Triple<'py, f64>> {
    let rows = on_pair((rationale, offsets), (gold, gold_offsets), plausibility::token_agreement)?;
    Ok(three(gold.py(), &rows))
}

/// Token F1 averaged over the classes "in" and "out" of each row.
#[pyfunction]
pub(super) fn token_f1_both_classes<'py>(
    rationale: Any<'_, 'py>,
    offsets: Any<'_, 'py>,
    gold: Any<'_, 'py>,
    gold_offsets: Any<'_, 'py>,
) -> PyResult<Out<'py, f64>> {
    let rows = on_pair((rationale, offsets), (gold, gold_offsets), plausibility::token_f1_both_classes)?;
    Ok(rows.to_pyarray(gold.py()))
}

/// Span precision, recall and F1 of each row and threshold.
#[pyfunction]
pub(super) fn iou_agreement<'py>(
    rationale: Any<'_, 'py>,
    offsets: Any<'_, 'py>,
    gold: Any<'_, 'py>,
    gold_offsets: Any<'_, 'py>,
    thresholds: Any<'_, 'py>,
) -> PyResult<Triple<'py, f64>> {
    let thresholds = one("thresholds", thresholds)?;
    let thresholds = thresholds.as_slice()?;
    let f = |a: &Ragged<'_, u8>, b: &Ragged<'_, u8>| plausibility::iou_agreement(a, b, thresholds);
    let rows = on_pair((rationale, offsets), (gold, gold_offsets), f)?;
    Ok(three(gold.py(), &rows))
}

fn three<'py>(py: Python<'py>, rows: &Agreement) -> Triple<'py, f64> {
    (rows.precision.to_pyarray(py), rows.recall.to_pyarray(py), rows.f1.to_pyarray(py))
}

/// Number of selected tokens of each row.
#[pyfunction]
pub(super) fn rationale_length<'py>(rationale: Any<'_, 'py>, offsets: Any<'_, 'py>) -> PyResult<Out<'py, i64>> {
    let (py, values, offsets) = (rationale.py(), marks::<Ix1>("rationale", rationale)?, one("offsets", offsets)?);
    let (values, offsets) = (values.as_slice()?, offsets.as_slice()?);
    let count = || Ok::<_, Error>(plausibility::rationale_length(&Ragged::new("rationale", values, offsets)?));
    Ok(py.detach(count)?.to_pyarray(py))
}

/// Entropy of the shares of the scores' sizes in each row.
#[pyfunction]
#[pyo3(name = "complexity")]
pub(super) fn complexity_of<'py>(scores: Any<'_, 'py>, offsets: Any<'_, 'py>) -> PyResult<Out<'py, f64>> {
    let (py, values, offsets) = (scores.py(), one("scores", scores)?, one("offsets", offsets)?);
    let (values, offsets) = (values.as_slice()?, offsets.as_slice()?);
    let found = || Ok::<_, Error>(complexity::complexity(&Ragged::new("scores", values, offsets)?));
    Ok(py.detach(found)?.to_pyarray(py))
}

/// Lowest and highest value of each column over the methods that count.
#[pyfunction]
pub(super) fn extremes<'py>(values: Any<'_, 'py>, counts: Any<'_, 'py>) -> PyResult<(Out<'py, f64>, Out<'py, f64>)> {
    let (py, values, counts) = (values.py(), one("values", values)?, marks::<Ix1>("counts", counts)?);
    let (values, counts) = (values.as_slice()?, counts.as_slice()?);
    let (low, high) = py.detach(|| relative_gain::extremes(values, counts))?;
    Ok((low.to_pyarray(py), high.to_pyarray(py)))
}

/// Where each value stands between the ends of its column.
#[pyfunction]
#[pyo3(name = "relative_gain")]
pub(super) fn relative_gain_of<'py>(
    values: Any<'_, 'py>,
    low: Any<'_, 'py>,
    high: Any<'_, 'py>,
    lower_is_better: bool,
) -> PyResult<Out<'py, f64>> {
    let (py, values) = (values.py(), one("values", values)?);
    let (low, high) = (one("low", low)?, one("high", high)?);
    let (values, low, high) = (values.as_slice()?, low.as_slice()?, high.as_slice()?);
    Ok(py.detach(|| relative_gain::relative_gain(values, low, high, lower_is_better))?.to_pyarray(py))
}

/// Exact sum, as a multiple of 2^-64, and number of the defined values of each column.
#[pyfunction]
pub(super) fn column_sums(values: Any<'_, '_>, n_columns: usize) -> PyResult<(Vec<i128>, Vec<i64>)> {
    let (py, values) = (values.py(), one("values", values)?);
    let values = values.as_slice()?;
    let sums = py.detach(|| sums::column_sums(values, n_columns))?;
    Ok(sums.into_iter().map(|sum| (sum.scaled, sum.n)).unzip())
}

/// 128-bit hash of each row of bytes, as pairs.
#[pyfunction]
pub(super) fn hash_ids<'py>(ids: Any<'_, 'py>, offsets: Any<'_, 'py>) -> PyResult<Out<'py, u64>> {
    let (py, ids, offsets) = (ids.py(), one("ids", ids)?, one("offsets", offsets)?);
    let (ids, offsets) = (ids.as_slice()?, offsets.as_slice()?);
    let hashes = py.detach(|| Ok::<_, Error>(bootstrap::hash_ids(&Ragged::new("ids", ids, offsets)?)))?;
    Ok(hashes.as_flattened().to_pyarray(py))
}

/// Weighted sums and weights of each column under each replicate.
#[pyfunction]
#[pyo3(signature = (rows, values, steps, *, replicates, seed, swap = false, threads = None))]
pub(super) fn weighted_sums<'py>(
    rows: Any<'_, 'py>,
    values: Any<'_, 'py>,
    steps: Any<'_, 'py>,
    replicates: usize,
    seed: u64,
    swap: bool,
    threads: Option<usize>,
) -> PyResult<(Out<'py, i64>, Out<'py, i64>)> {
    let (py, rows, values, steps) = (rows.py(), one("rows", rows)?, one("values", values)?, one("steps", steps)?);
    let (rows, values, steps) = (bootstrap::row_hashes(rows.as_slice()?)?, values.as_slice()?, steps.as_slice()?);
    let kind = if swap { Weights::Swap } else { Weights::Poisson };
    let out = py.detach(|| bootstrap::weighted_sums(kind, seed, rows, values, steps, replicates, threads))?;
    Ok((out.sums.to_pyarray(py), out.counts.to_pyarray(py)))
}
