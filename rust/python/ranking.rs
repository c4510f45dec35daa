//! Bindings of `ranking`.

use numpy::{Ix1, PyArray1, ToPyArray};
use pyo3::prelude::*;

use super::arrays::{array, marks};
use crate::ragged::Ragged;
use crate::ranking;

type Columns<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// AUPRC, average precision and ROC AUC of every row.
#[pyfunction]
#[pyo3(signature = (scores, offsets, gold, gold_offsets, *, threads = None))]
pub(super) fn rank_rows<'py>(
    scores: &Bound<'py, PyAny>,
    offsets: &Bound<'py, PyAny>,
    gold: &Bound<'py, PyAny>,
    gold_offsets: &Bound<'py, PyAny>,
    threads: Option<usize>,
) -> PyResult<Columns<'py>> {
    let (py, scores, gold) = (scores.py(), array::<f64, Ix1>("scores", scores)?, marks::<Ix1>("gold", gold)?);
    let (offsets, gold_offsets) =
        (array::<i64, Ix1>("offsets", offsets)?, array::<i64, Ix1>("gold_offsets", gold_offsets)?);
    let scores = Ragged::new("scores", scores.as_slice()?, offsets.as_slice()?)?;
    let gold: Vec<bool> = gold.as_slice()?.iter().map(|&mark| mark != 0).collect();
    let gold = Ragged::new("gold", &gold, gold_offsets.as_slice()?)?;
    let found = py.detach(|| ranking::rank_rows(&scores, &gold, threads))?;
    Ok((found.auprc.to_pyarray(py), found.average_precision.to_pyarray(py), found.roc_auc.to_pyarray(py)))
}
