//! Bindings of `ranking`.

use numpy::{Ix1, PyArray1, ToPyArray};
use pyo3::prelude::*;

use super::arrays::{array, holds};
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
    gold: &Bound<'py, PyAny>,
    offsets: &Bound<'py, PyAny>,
    threads: Option<usize>,
) -> PyResult<Columns<'py>> {
    let (gold, offsets) = (array::<bool, Ix1>("gold", gold)?, array::<i64, Ix1>("offsets", offsets)?);
    let (gold, offsets) = (gold.as_slice()?, offsets.as_slice()?);
    let found = if holds::<f32>(scores) {
        rank(py, array::<f32, Ix1>("scores", scores)?.as_slice()?, gold, offsets, threads)?
    } else {
        rank(py, array::<f64, Ix1>("scores", scores)?.as_slice()?, gold, offsets, threads)?
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
