//! Bindings of `order_search`.

use std::sync::Mutex;

use numpy::{Ix1, PyArray1, ToPyArray};
use pyo3::prelude::*;

use super::arrays::array;
use super::eraser::lock;
use crate::order_search;

type Pair<'py, A, B> = (Bound<'py, PyArray1<A>>, Bound<'py, PyArray1<B>>);

/// A search for the best and the worst order in which the units of each row can be hidden.
#[pyclass(frozen, module = "unirex._rust")]
pub(super) struct OrderSearch(Mutex<order_search::OrderSearch>);

#[pymethods]
impl OrderSearch {
    #[new]
    #[pyo3(signature = (units, *, width, exact))]
    fn new(units: &Bound<'_, PyAny>, width: usize, exact: usize) -> PyResult<Self> {
        let units = array::<i64, Ix1>("units", units)?;
        Ok(Self(Mutex::new(order_search::OrderSearch::new(units.as_slice()?, width, exact)?)))
    }

    /// The sets whose value is needed next, and where each row's begin; no sets = the search is over.
    fn wanted<'py>(&self, py: Python<'py>) -> Pair<'py, i64, i64> {
        let found = py.detach(|| lock(&self.0).wanted());
        (found.sets.to_pyarray(py), found.offsets.to_pyarray(py))
    }

    /// Goes on with the values of these sets.
    fn tell(&self, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, values) = (values.py(), array::<f64, Ix1>("values", values)?);
        let values = values.as_slice()?;
        Ok(py.detach(|| lock(&self.0).tell(values))?)
    }

    /// The lowest and the highest mean over the sets of an order, for each row.
    fn bounds<'py>(&self, py: Python<'py>) -> Pair<'py, f64, f64> {
        let (low, high) = lock(&self.0).bounds();
        (low.to_pyarray(py), high.to_pyarray(py))
    }
}
