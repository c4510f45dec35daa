//! The only place that knows Python: arguments in, one call into the core with the GIL released, arrays out.
//!
//! One file a topic; each adds its functions in `register`. No arithmetic and no policy here.
// PyO3 hands arguments over by value.
#![allow(clippy::needless_pass_by_value)]

mod eraser;
mod metrics;
mod ranking;

use numpy::{PyArray1, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::Error;

mod align;
mod arrays;
mod selection;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

/// Looks up the functions of `numpy`, once. The first use runs Python code, where a pending Ctrl-C would be a panic.
/// It is raised in the main thread only, so another thread looks.
fn find_numpy(py: Python<'_>) {
    let look = || Python::attach(|py| drop(PyArray1::<u8>::zeros(py, 0, false).readonly()));
    // A panic there means that there is no `numpy`, which the caller finds out for itself.
    py.detach(|| drop(std::thread::spawn(look).join()));
}

/// The extension module `unirex._rust`.
#[pymodule]
fn _rust(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    align::register(m)?;
    eraser::register(m)?;
    metrics::register(m)?;
    ranking::register(m)?;
    selection::register(m)?;
    Ok(())
}
