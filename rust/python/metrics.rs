//! Bindings of `faithfulness`, `plausibility`, `relative_gain`, `sums` and `bootstrap`.

// p_full, p_keep, p_remove and p_null are the names of the definitions.
#![allow(clippy::similar_names)]

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::prelude::*;

use crate::bootstrap::{self, Weights};
use crate::faithfulness::{self, Aopc};
use crate::plausibility;
use crate::ragged::Ragged;
use crate::{Error, Result, relative_gain, sums};

type Floats<'py> = PyReadonlyArray1<'py, f64>;
type Flags<'py> = PyReadonlyArray1<'py, bool>;
type Offsets<'py> = PyReadonlyArray1<'py, i64>;
type Out<'py, T> = Bound<'py, PyArray1<T>>;
type Triple<'py, T> = (Out<'py, T>, Out<'py, T>, Out<'py, T>);

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(class_probability, m)?)?;
    m.add_function(wrap_pyfunction!(comprehensiveness, m)?)?;
    m.add_function(wrap_pyfunction!(sufficiency, m)?)?;
    m.add_function(wrap_pyfunction!(log_odds, m)?)?;
    m.add_function(wrap_pyfunction!(normalised_comprehensiveness, m)?)?;
    m.add_function(wrap_pyfunction!(normalised_sufficiency, m)?)?;
    m.add_function(wrap_pyfunction!(entropy_shift, m)?)?;
    m.add_function(wrap_pyfunction!(kl_divergence, m)?)?;
    m.add_function(wrap_pyfunction!(aopc, m)?)?;
    m.add_function(wrap_pyfunction!(token_counts, m)?)?;
    m.add_function(wrap_pyfunction!(token_agreement, m)?)?;
    m.add_function(wrap_pyfunction!(token_f1_both_classes, m)?)?;
    m.add_function(wrap_pyfunction!(iou_agreement, m)?)?;
    m.add_function(wrap_pyfunction!(rationale_length, m)?)?;
    m.add_function(wrap_pyfunction!(extremes, m)?)?;
    m.add_function(wrap_pyfunction!(relative_gain_of, m)?)?;
    m.add_function(wrap_pyfunction!(column_sums, m)?)?;
    m.add_function(wrap_pyfunction!(hash_ids, m)?)?;
    m.add_function(wrap_pyfunction!(weighted_sums, m)?)
}

/// Probability of one class per row and fraction.
#[pyfunction]
fn class_probability<'py>(
    py: Python<'py>,
    probabilities: Floats<'py>,
    offsets: Offsets<'py>,
    classes: PyReadonlyArray1<'py, i64>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    let (values, offsets, classes) = (probabilities.as_slice()?, offsets.as_slice()?, classes.as_slice()?);
    let picked = py.detach(|| {
        let rows = Ragged::new("probabilities", values, offsets)?;
        faithfulness::class_probability("probabilities", &rows, classes, n_fractions)
    })?;
    Ok(picked.to_pyarray(py))
}

/// p(full) - p(remove) per row and fraction.
#[pyfunction]
fn comprehensiveness<'py>(py: Python<'py>, p_full: Floats<'py>, p_remove: Floats<'py>) -> PyResult<Out<'py, f64>> {
    let (p_full, p_remove) = (p_full.as_slice()?, p_remove.as_slice()?);
    Ok(py.detach(|| faithfulness::comprehensiveness(p_full, p_remove))?.to_pyarray(py))
}

/// p(full) - p(keep) per row and fraction.
#[pyfunction]
fn sufficiency<'py>(py: Python<'py>, p_full: Floats<'py>, p_keep: Floats<'py>) -> PyResult<Out<'py, f64>> {
    let (p_full, p_keep) = (p_full.as_slice()?, p_keep.as_slice()?);
    Ok(py.detach(|| faithfulness::sufficiency(p_full, p_keep))?.to_pyarray(py))
}

/// log p(remove) - log p(full) per row and fraction.
#[pyfunction]
fn log_odds<'py>(py: Python<'py>, p_full: Floats<'py>, p_remove: Floats<'py>) -> PyResult<Out<'py, f64>> {
    let (p_full, p_remove) = (p_full.as_slice()?, p_remove.as_slice()?);
    Ok(py.detach(|| faithfulness::log_odds(p_full, p_remove))?.to_pyarray(py))
}

/// Comprehensiveness relative to removing everything.
#[pyfunction]
fn normalised_comprehensiveness<'py>(
    py: Python<'py>,
    p_full: Floats<'py>,
    p_remove: Floats<'py>,
    p_null: Floats<'py>,
) -> PyResult<Out<'py, f64>> {
    let (p_full, p_remove, p_null) = (p_full.as_slice()?, p_remove.as_slice()?, p_null.as_slice()?);
    Ok(py.detach(|| faithfulness::normalised_comprehensiveness(p_full, p_remove, p_null))?.to_pyarray(py))
}

/// One minus the sufficiency relative to removing everything.
#[pyfunction]
fn normalised_sufficiency<'py>(
    py: Python<'py>,
    p_full: Floats<'py>,
    p_keep: Floats<'py>,
    p_null: Floats<'py>,
) -> PyResult<Out<'py, f64>> {
    let (p_full, p_keep, p_null) = (p_full.as_slice()?, p_keep.as_slice()?, p_null.as_slice()?);
    Ok(py.detach(|| faithfulness::normalised_sufficiency(p_full, p_keep, p_null))?.to_pyarray(py))
}

type PerDistribution = fn(&Ragged<'_, f64>, &Ragged<'_, f64>, usize) -> Result<Vec<f64>>;

/// Entropy of the full minus that of the perturbed distribution.
#[pyfunction]
fn entropy_shift<'py>(
    full: Floats<'py>,
    full_offsets: Offsets<'py>,
    perturbed: Floats<'py>,
    perturbed_offsets: Offsets<'py>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    shift(faithfulness::entropy_shift, &full, &full_offsets, &perturbed, &perturbed_offsets, n_fractions)
}

/// KL(perturbed || full).
#[pyfunction]
fn kl_divergence<'py>(
    full: Floats<'py>,
    full_offsets: Offsets<'py>,
    perturbed: Floats<'py>,
    perturbed_offsets: Offsets<'py>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    shift(faithfulness::kl_divergence, &full, &full_offsets, &perturbed, &perturbed_offsets, n_fractions)
}

fn shift<'py>(
    f: PerDistribution,
    full: &Floats<'py>,
    full_offsets: &Offsets<'py>,
    perturbed: &Floats<'py>,
    perturbed_offsets: &Offsets<'py>,
    n_fractions: usize,
) -> PyResult<Out<'py, f64>> {
    let (py, full, full_offsets) = (full.py(), full.as_slice()?, full_offsets.as_slice()?);
    let (perturbed, perturbed_offsets) = (perturbed.as_slice()?, perturbed_offsets.as_slice()?);
    let out = py.detach(|| {
        let rows = Ragged::new("full", full, full_offsets)?;
        f(&rows, &Ragged::new("perturbed", perturbed, perturbed_offsets)?, n_fractions)
    })?;
    Ok(out.to_pyarray(py))
}

/// One value per row from its values at the fractions.
#[pyfunction]
fn aopc<'py>(
    py: Python<'py>,
    values: Floats<'py>,
    n_fractions: usize,
    sum_over_one_more: bool,
) -> PyResult<Out<'py, f64>> {
    let values = values.as_slice()?;
    let rule = if sum_over_one_more { Aopc::SumOverOneMore } else { Aopc::Mean };
    Ok(py.detach(|| faithfulness::aopc(values, n_fractions, rule))?.to_pyarray(py))
}

/// Calls `f` on a rationale and a gold rationale that share their offsets or have each their own.
fn on_pair<'py, T: Send>(
    rationale: (&Flags<'py>, &Offsets<'py>),
    gold: (&Flags<'py>, &Offsets<'py>),
    f: impl FnOnce(&Ragged<'_, bool>, &Ragged<'_, bool>) -> Result<T> + Send,
) -> PyResult<T> {
    let py = rationale.0.py();
    let (values, offsets) = (rationale.0.as_slice()?, rationale.1.as_slice()?);
    let (gold_values, gold_offsets) = (gold.0.as_slice()?, gold.1.as_slice()?);
    Ok(py.detach(|| f(&Ragged::new("rationale", values, offsets)?, &Ragged::new("gold", gold_values, gold_offsets)?))?)
}

/// Tokens selected and gold, selected, and gold, of each row.
#[pyfunction]
fn token_counts<'py>(
    py: Python<'py>,
    rationale: Flags<'py>,
    offsets: Offsets<'py>,
    gold: Flags<'py>,
    gold_offsets: Offsets<'py>,
) -> PyResult<Triple<'py, i64>> {
    let counts = on_pair((&rationale, &offsets), (&gold, &gold_offsets), plausibility::token_counts)?;
    Ok((counts.both.to_pyarray(py), counts.selected.to_pyarray(py), counts.gold.to_pyarray(py)))
}

/// Token precision, recall and F1 of each row.
#[pyfunction]
fn token_agreement<'py>(
    py: Python<'py>,
    rationale: Flags<'py>,
    offsets: Offsets<'py>,
    gold: Flags<'py>,
    gold_offsets: Offsets<'py>,
) -> PyResult<Triple<'py, f64>> {
    let rows = on_pair((&rationale, &offsets), (&gold, &gold_offsets), plausibility::token_agreement)?;
    Ok((rows.precision.to_pyarray(py), rows.recall.to_pyarray(py), rows.f1.to_pyarray(py)))
}

/// Token F1 averaged over the classes "in" and "out" of each row.
#[pyfunction]
fn token_f1_both_classes<'py>(
    py: Python<'py>,
    rationale: Flags<'py>,
    offsets: Offsets<'py>,
    gold: Flags<'py>,
    gold_offsets: Offsets<'py>,
) -> PyResult<Out<'py, f64>> {
    let rows = on_pair((&rationale, &offsets), (&gold, &gold_offsets), plausibility::token_f1_both_classes)?;
    Ok(rows.to_pyarray(py))
}

/// Span precision, recall and F1 of each row and threshold.
#[pyfunction]
fn iou_agreement<'py>(
    py: Python<'py>,
    rationale: Flags<'py>,
    offsets: Offsets<'py>,
    gold: Flags<'py>,
    gold_offsets: Offsets<'py>,
    thresholds: Floats<'py>,
) -> PyResult<Triple<'py, f64>> {
    let thresholds = thresholds.as_slice()?;
    let f = |a: &Ragged<'_, bool>, b: &Ragged<'_, bool>| plausibility::iou_agreement(a, b, thresholds);
    let rows = on_pair((&rationale, &offsets), (&gold, &gold_offsets), f)?;
    Ok((rows.precision.to_pyarray(py), rows.recall.to_pyarray(py), rows.f1.to_pyarray(py)))
}

/// Number of selected tokens of each row.
#[pyfunction]
fn rationale_length<'py>(py: Python<'py>, rationale: Flags<'py>, offsets: Offsets<'py>) -> PyResult<Out<'py, i64>> {
    let (values, offsets) = (rationale.as_slice()?, offsets.as_slice()?);
    let lengths =
        py.detach(|| Ok::<_, Error>(plausibility::rationale_length(&Ragged::new("rationale", values, offsets)?)))?;
    Ok(lengths.to_pyarray(py))
}

/// Lowest and highest value of each column over the methods that count.
#[pyfunction]
fn extremes<'py>(py: Python<'py>, values: Floats<'py>, counts: Flags<'py>) -> PyResult<(Out<'py, f64>, Out<'py, f64>)> {
    let (values, counts) = (values.as_slice()?, counts.as_slice()?);
    let (low, high) = py.detach(|| relative_gain::extremes(values, counts))?;
    Ok((low.to_pyarray(py), high.to_pyarray(py)))
}

/// Where each value stands between the ends of its column.
#[pyfunction]
#[pyo3(name = "relative_gain")]
fn relative_gain_of<'py>(
    py: Python<'py>,
    values: Floats<'py>,
    low: Floats<'py>,
    high: Floats<'py>,
    lower_is_better: bool,
) -> PyResult<Out<'py, f64>> {
    let (values, low, high) = (values.as_slice()?, low.as_slice()?, high.as_slice()?);
    Ok(py.detach(|| relative_gain::relative_gain(values, low, high, lower_is_better))?.to_pyarray(py))
}

/// Exact sum, as a multiple of 2^-64, and number of the defined values of each column.
#[pyfunction]
fn column_sums(py: Python<'_>, values: Floats<'_>, n_columns: usize) -> PyResult<(Vec<i128>, Vec<i64>)> {
    let values = values.as_slice()?;
    let sums = py.detach(|| sums::column_sums(values, n_columns))?;
    Ok(sums.into_iter().map(|sum| (sum.scaled, sum.n)).unzip())
}

/// 128-bit hash of each row of bytes, as pairs.
#[pyfunction]
fn hash_ids<'py>(py: Python<'py>, ids: PyReadonlyArray1<'py, u8>, offsets: Offsets<'py>) -> PyResult<Out<'py, u64>> {
    let (ids, offsets) = (ids.as_slice()?, offsets.as_slice()?);
    let hashes = py.detach(|| Ok::<_, Error>(bootstrap::hash_ids(&Ragged::new("ids", ids, offsets)?)))?;
    Ok(hashes.as_flattened().to_pyarray(py))
}

/// Weighted sums and weights of each column under each replicate.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // keyword arguments in Python
#[pyo3(signature = (rows, values, steps, *, replicates, seed, swap = false, threads = None))]
fn weighted_sums<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray1<'py, u64>,
    values: Floats<'py>,
    steps: Floats<'py>,
    replicates: usize,
    seed: u64,
    swap: bool,
    threads: Option<usize>,
) -> PyResult<(Out<'py, i64>, Out<'py, i64>)> {
    let (rows, values, steps) = (bootstrap::row_hashes(rows.as_slice()?)?, values.as_slice()?, steps.as_slice()?);
    let kind = if swap { Weights::Swap } else { Weights::Poisson };
    let out = py.detach(|| bootstrap::weighted_sums(kind, seed, rows, values, steps, replicates, threads))?;
    Ok((out.sums.to_pyarray(py), out.counts.to_pyarray(py)))
}
