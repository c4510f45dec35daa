//! Bindings of `eraser`.

use std::path::PathBuf;
use std::sync::Mutex;

use numpy::ToPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::Result;
use crate::eraser::rows::Shape;
use crate::eraser::{self, Input, Options, Rows};

type Row = (String, Option<u64>, String, String, String);

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<EraserRows>()?;
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

/// Results joined with annotations, in batches of rows.
#[pyclass(frozen, module = "unirex._rust")]
struct EraserRows {
    reader: Mutex<eraser::RowReader>,
    shape: Shape,
}

#[pymethods]
impl EraserRows {
    #[new]
    #[pyo3(signature = (results, data_dir, split, *, thresholds = None))]
    fn new(
        py: Python<'_>,
        results: Vec<PathBuf>,
        data_dir: PathBuf,
        split: String,
        thresholds: Option<Vec<f64>>,
    ) -> Result<Self> {
        let input = Input { results, data_dir, split };
        let reader = py.detach(|| eraser::RowReader::open(&input, thresholds.as_deref()))?;
        Ok(Self { shape: reader.shape().clone(), reader: Mutex::new(reader) })
    }

    #[getter]
    fn labels(&self) -> Vec<String> {
        self.shape.labels.clone()
    }

    #[getter]
    fn thresholds(&self) -> Vec<f64> {
        self.shape.thresholds.clone()
    }

    /// The fields that every instance has.
    #[getter]
    fn fields(&self) -> Vec<&'static str> {
        self.shape.fields()
    }

    /// The next rows as arrays by name; None at the end.
    fn step<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let rows = py.detach(|| {
            let mut reader = self.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            reader.step()
        })?;
        rows.map(|rows| arrays(py, &rows)).transpose()
    }
}

fn arrays<'py>(py: Python<'py>, rows: &Rows) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("ids", rows.ids.to_pyarray(py))?;
    for (name, numbers) in [("rationale", &rows.rationale), ("gold_known", &rows.gold_known)] {
        out.set_item(name, numbers.to_pyarray(py))?;
    }
    for (name, numbers) in [("id_offsets", &rows.id_offsets), ("label", &rows.label), ("prediction", &rows.prediction)]
    {
        out.set_item(name, numbers.to_pyarray(py))?;
    }
    for (name, numbers) in [("probabilities", &rows.probabilities), ("remove", &rows.remove), ("keep", &rows.keep)] {
        out.set_item(name, numbers.to_pyarray(py))?;
    }
    for (name, numbers) in [("remove_at", &rows.remove_at), ("keep_at", &rows.keep_at)] {
        out.set_item(name, numbers.to_pyarray(py))?;
    }
    for (name, units) in [("tokens", &rows.tokens), ("sentences", &rows.sentences)] {
        let arrays = (units.offsets.to_pyarray(py), units.scores.to_pyarray(py), units.gold.to_pyarray(py));
        out.set_item(name, arrays)?;
    }
    Ok(out)
}
