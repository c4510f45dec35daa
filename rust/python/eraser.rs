//! Bindings of `eraser`.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::Result;
use crate::eraser::{self, Input, Options};

type Row = (String, Option<u64>, String, String, String);

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(score_eraser, m)?)?;
    m.add_function(wrap_pyfunction!(validate_eraser, m)?)
}

/// The scores as JSON in the reference scorer's structure.
#[pyfunction]
#[pyo3(signature = (results, data_dir, split, *, iou_thresholds, aopc_thresholds, threads = None))]
fn score_eraser(
    py: Python<'_>,
    results: Vec<PathBuf>,
    data_dir: PathBuf,
    split: String,
    iou_thresholds: Vec<f64>,
    aopc_thresholds: Vec<f64>,
    threads: Option<usize>,
) -> Result<String> {
    let options = Options { iou_thresholds, aopc_thresholds: Some(aopc_thresholds), ..Options::default() };
    py.detach(|| eraser::score(&Input { results, data_dir, split }, &options, threads))
}

/// The problems of results and data: path, line, field, found, expected.
#[pyfunction]
#[pyo3(signature = (results, data_dir, split, *, limit, aopc_thresholds = None, threads = None))]
fn validate_eraser(
    py: Python<'_>,
    results: Vec<PathBuf>,
    data_dir: PathBuf,
    split: String,
    limit: usize,
    aopc_thresholds: Option<Vec<f64>>,
    threads: Option<usize>,
) -> Result<Vec<Row>> {
    let options = Options { aopc_thresholds, ..Options::default() };
    let found = py.detach(|| eraser::validate(&Input { results, data_dir, split }, &options, limit, threads))?;
    Ok(found.into_iter().map(|p| (p.path, p.line, p.field, p.found, p.expected)).collect())
}
