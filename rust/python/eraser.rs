//! Bindings of `eraser`.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{Element, ToPyArray};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::Result;
use crate::eraser::{self, Columns, Input, Options, Rows, Scores};

type Row = (String, Option<u64>, String, String, String);

/// Scores results by the conventions of the ERASER benchmark's own scorer, batch by batch.
#[pyclass(frozen, module = "unirex._rust")]
pub(super) struct EraserScorer(Mutex<eraser::EraserScorer>);

#[pymethods]
impl EraserScorer {
    #[new]
    #[pyo3(signature = (results, data_dir, split, *, iou_thresholds, aopc_thresholds, threads = None, part = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        results: Vec<PathBuf>,
        data_dir: PathBuf,
        split: String,
        iou_thresholds: Vec<f64>,
        aopc_thresholds: Vec<f64>,
        threads: Option<usize>,
        part: Option<Vec<PathBuf>>,
    ) -> Result<Self> {
        let options = Options { iou_thresholds, aopc_thresholds: Some(aopc_thresholds), ..Options::default() };
        let input = Input { results, part, data_dir, split };
        py.detach(|| eraser::EraserScorer::open(&input, options, threads)).map(|scorer| Self(Mutex::new(scorer)))
    }

    /// Scores the next batch; False at the end.
    fn step(&self, py: Python<'_>) -> Result<bool> {
        py.detach(|| lock(&self.0).step())
    }

    /// Instances scored, and annotations there are.
    fn progress(&self) -> (u64, u64) {
        lock(&self.0).progress()
    }

    /// Instances whose class is not the one with the highest score, and those whose class scores do not sum to 1.
    fn odd(&self) -> [u64; 2] {
        lock(&self.0).odd()
    }

    /// What the files read so far add up to, for `merge_part` elsewhere.
    fn part<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &lock(&self.0).part()?))
    }

    /// Adds what a scorer of other files of the same results came to.
    fn merge_part(&self, py: Python<'_>, content: &[u8]) -> Result<()> {
        py.detach(|| lock(&self.0).merge_part(content))
    }

    /// The scores: of hard rationales, of tokens and sentences, of classes, without the rationale and of it alone, and
    /// at thresholds; None for what is not scored.
    fn scores<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Scores { hard, ranks, classes, shifts, points } = py.detach(|| lock(&self.0).scores())?;
        (hard, ranks, classes, shifts, points).into_bound_py_any(py)
    }
}

/// Another thread that panicked leaves sums behind that mean nothing, but no unsound state.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The problems of results and data: path, line, field, found, expected.
#[pyfunction]
#[pyo3(signature = (results, data_dir, split, *, limit, aopc_thresholds = None))]
pub(super) fn validate_eraser(
    py: Python<'_>,
    results: Vec<PathBuf>,
    data_dir: PathBuf,
    split: String,
    limit: usize,
    aopc_thresholds: Option<Vec<f64>>,
) -> Result<Vec<Row>> {
    let options = Options { aopc_thresholds, ..Options::default() };
    let found = py.detach(|| eraser::validate(&Input { results, part: None, data_dir, split }, options, limit))?;
    Ok(found.into_iter().map(|p| (p.path, p.line, p.field, p.found, p.expected)).collect())
}

/// Results joined with annotations, in batches of rows.
#[pyclass(frozen, module = "unirex._rust")]
pub(super) struct EraserRows(Mutex<eraser::RowReader>);

#[pymethods]
impl EraserRows {
    #[new]
    #[pyo3(signature = (results, data_dir, split, *, thresholds = None, part = None, strict = true))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        results: Vec<PathBuf>,
        data_dir: PathBuf,
        split: String,
        thresholds: Option<Vec<f64>>,
        part: Option<Vec<PathBuf>>,
        strict: bool,
    ) -> Result<Self> {
        super::arrays::find_numpy(py);
        let input = Input { results, part, data_dir, split };
        py.detach(|| eraser::RowReader::open(&input, thresholds.as_deref(), strict)).map(|rows| Self(Mutex::new(rows)))
    }

    #[getter]
    fn labels(&self) -> Vec<String> {
        lock(&self.0).shape().labels.iter().cloned().collect()
    }

    #[getter]
    fn thresholds(&self) -> Vec<f64> {
        lock(&self.0).shape().thresholds.clone()
    }

    /// Number of annotations.
    #[getter]
    fn total(&self) -> usize {
        lock(&self.0).total()
    }

    /// The fields that every instance has.
    #[getter]
    fn fields(&self) -> Vec<&'static str> {
        lock(&self.0).shape().fields()
    }

    /// Which instances were there, for `merge_part` elsewhere.
    fn part<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &lock(&self.0).part()?))
    }

    /// Adds which instances a reader of other files of the same results met.
    fn merge_part(&self, py: Python<'_>, content: &[u8]) -> Result<()> {
        py.detach(|| lock(&self.0).merge_part(content))
    }

    /// Fails if an annotation had no instance in any part.
    fn finish(&self, py: Python<'_>) -> Result<()> {
        py.detach(|| lock(&self.0).finish())
    }

    /// The next rows as arrays by name; None at the end.
    fn step<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let rows = py.detach(|| lock(&self.0).step())?;
        rows.map(|rows| arrays(py, &rows)).transpose()
    }
}

fn arrays<'py>(py: Python<'py>, rows: &Rows) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("ids", rows.ids.to_pyarray(py))?;
    out.set_item("odd", rows.odd)?;
    add(&out, &rows.floats)?;
    add(&out, &rows.wholes)?;
    add(&out, &rows.flags)?;
    Ok(out)
}

fn add<T: Element>(out: &Bound<'_, PyDict>, columns: &Columns<T>) -> PyResult<()> {
    columns.iter().try_for_each(|(name, column)| out.set_item(name, column.to_pyarray(out.py())))
}
