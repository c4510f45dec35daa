//! The only place that knows Python: arguments in, one call into the core with the GIL released, arrays out.
//!
//! One file a topic; each adds its functions in `register`. No arithmetic and no policy here.
// PyO3 hands arguments over by value.
#![allow(clippy::needless_pass_by_value)]

mod eraser;
mod metrics;
mod orders;
mod ranking;

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

/// The extension module `unirex._rust`.
#[pymodule]
fn _rust(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    align::register(m)?;
    eraser::register(m)?;
    metrics::register(m)?;
    orders::register(m)?;
    ranking::register(m)?;
    selection::register(m)?;
    Ok(())
}
