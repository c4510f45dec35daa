//! Bindings of `ranking`.

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::Result;
use crate::ragged::Ragged;
use crate::ranking::{self, Rankings, Score};

type Columns<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(rank_rows, m)?)
}

/// AUPRC, average precision and ROC AUC of every row.
#[pyfunction]
#[pyo3(signature = (scores, gold, offsets, *, threads = None))]
fn rank_rows<'py>(
    py: Python<'py>,
    scores: &Bound<'py, PyAny>,
    gold: PyReadonlyArray1<'py, bool>,
    offsets: PyReadonlyArray1<'py, i64>,
    threads: Option<usize>,
) -> PyResult<Columns<'py>> {
    let (gold, offsets) = (gold.as_slice()?, offsets.as_slice()?);
    let found = if let Ok(scores) = scores.extract::<PyReadonlyArray1<'py, f32>>() {
        rank(py, scores.as_slice()?, gold, offsets, threads)?
    } else if let Ok(scores) = scores.extract::<PyReadonlyArray1<'py, f64>>() {
        rank(py, scores.as_slice()?, gold, offsets, threads)?
    } else {
        return Err(PyTypeError::new_err("scores: expected a one-dimensional array of float32 or float64"));
    };
    Ok((found.auprc.to_pyarray(py), found.average_precision.to_pyarray(py), found.roc_auc.to_pyarray(py)))
}

fn rank<S: Score>(
    py: Python<'_>,
    scores: &[S],
    gold: &[bool],
    offsets: &[i64],
    threads: Option<usize>,
) -> Result<Rankings> {
    py.detach(|| {
        ranking::rank_rows(&Ragged::new("scores", scores, offsets)?, &Ragged::new("gold", gold, offsets)?, threads)
    })
}
