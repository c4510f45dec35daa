//! Numpy arrays at the border: read in place, refused with one line where they are not what the kernel reads.

use std::sync::atomic::{AtomicBool, Ordering};

use numpy::ndarray::Dimension;
use numpy::{
    Element, PyArray, PyArray1, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::Result;

/// The argument as a C-contiguous array of `T` with the dimensions of `D`, without a copy.
///
/// `TypeError` for another type, dtype or rank; `ValueError` where a copy would be needed.
pub(super) fn array<'py, T: Element, D: Dimension>(
    name: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArray<'py, T, D>> {
    find_numpy(value.py());
    let wanted = || format!("a {} array of {} dimension(s)", numpy::dtype::<T>(value.py()), D::NDIM.unwrap_or(0));
    let Ok(typed) = value.cast::<PyArray<T, D>>() else {
        let found = match value.cast::<PyUntypedArray>() {
            Ok(other) => format!("{} of {} dimension(s)", other.dtype(), other.ndim()),
            Err(_) => value.get_type().name()?.to_string(),
        };
        return Err(PyTypeError::new_err(format!("{name} is {found}, expected {}", wanted())));
    };
    if !(typed.is_c_contiguous() && typed.is_aligned()) {
        return Err(PyValueError::new_err(format!("{name} is not C-contiguous, expected {}", wanted())));
    }
    typed.try_readonly().map_err(|_| PyValueError::new_err(format!("{name} is being written to by another call")))
}

/// The argument as an array of marks, `bool` or `uint8`, read as bytes (a `bool` array may hold any byte).
pub(super) fn marks<'py, D: Dimension>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray<'py, u8, D>> {
    if holds::<bool>(value) {
        return array(name, &value.call_method1("view", ("uint8",))?);
    }
    array(name, value)
}

/// Whether the argument is an array of `T`.
pub(super) fn holds<T: Element>(value: &Bound<'_, PyAny>) -> bool {
    find_numpy(value.py());
    value.cast::<PyUntypedArray>().is_ok_and(|a| a.dtype().is_equiv_to(&numpy::dtype::<T>(value.py())))
}

/// A new `bool` array whose every byte `fill` writes, 0 or 1, with the GIL released.
///
/// Numpy allocates it and refuses what does not fit in memory, where a vector would end the process. It is not cleared first, which would cost as much as a tenth of the selection itself. Bytes, unlike `bool`s, may hold
/// anything until then.
pub(super) fn marked<D: Dimension>(
    py: Python<'_>,
    shape: D,
    fill: impl FnOnce(&mut [u8]) -> Result<()> + Send,
) -> PyResult<Bound<'_, PyArray<bool, D>>> {
    let shape = shape.slice().to_vec();
    let out =
        py.import("numpy")?.call_method1("empty", (shape, numpy::dtype::<u8>(py)))?.cast_into::<PyArray<u8, D>>()?;
    let mut writable = out.try_readwrite()?;
    let bytes = writable.as_slice_mut()?;
    py.detach(|| fill(bytes))?;
    drop(writable);
    Ok(out.call_method1("view", (numpy::dtype::<bool>(py),))?.cast_into()?)
}

/// Rows and columns of two arrays that must have the same.
pub(super) fn same_shape(name: &str, found: &[usize], scores: &[usize]) -> PyResult<(usize, usize)> {
    if found == scores {
        return Ok((scores[0], scores[1]));
    }
    Err(PyValueError::new_err(format!("{name} has shape {found:?}, expected {scores:?} (as scores)")))
}

/// Looks up the functions of `numpy`, once. The first use runs Python code, where a pending Ctrl-C would be a panic.
/// It is raised in the main thread only, so another thread looks.
pub(super) fn find_numpy(py: Python<'_>) {
    static FOUND: AtomicBool = AtomicBool::new(false);
    let look = || Python::attach(|py| drop(PyArray1::<u8>::zeros(py, 0, false).readonly()));
    if !FOUND.load(Ordering::Relaxed) {
        // A panic there means that there is no `numpy`, which the caller finds out for itself.
        let found = py.detach(|| std::thread::spawn(look).join().is_ok());
        FOUND.store(found, Ordering::Relaxed);
    }
}
