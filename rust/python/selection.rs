//! Hard rationales: `unirex._rust.rationales` and its kin.

// What Python passes arrives by value.
#![allow(clippy::needless_pass_by_value)]

use numpy::{Ix1, Ix2, Ix3, PyArray2, PyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::arrays::{array, holds, marked, marks, same_shape};
use crate::ragged::{Ragged, even_offsets};
use crate::topk;
use crate::word_scores::Pooling;

#[pyfunction]
#[pyo3(signature = (scores, selectable, fractions, *, threads=None))]
pub(super) fn rationales<'py>(
    scores: &Bound<'py, PyAny>,
    selectable: &Bound<'py, PyAny>,
    fractions: Vec<f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray3<bool>>> {
    let (py, scores) = (scores.py(), array::<f32, Ix2>("scores", scores)?);
    let selectable = marks::<Ix2>("selectable", selectable)?;
    let (rows, width) = same_shape("selectable", selectable.shape(), scores.shape())?;
    let (values, selectable) = (scores.as_slice()?, selectable.as_slice()?);
    let offsets = even_offsets(rows, width);
    let ragged = Ragged::new("scores", values, &offsets)?;
    marked(py, Ix3(fractions.len(), rows, width), |out| {
        topk::rationales(&ragged, Some(selectable), &fractions, threads, out)
    })
}

#[pyfunction]
#[pyo3(signature = (scores, words, pooling, fractions, *, threads=None))]
pub(super) fn word_rationales<'py>(
    scores: &Bound<'py, PyAny>,
    words: &Bound<'py, PyAny>,
    pooling: &str,
    fractions: Vec<f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray3<bool>>> {
    if holds::<i32>(words) {
        return words_of::<i32>(scores, words, pooling.parse()?, &fractions, threads);
    }
    words_of::<i64>(scores, words, pooling.parse()?, &fractions, threads)
}

fn words_of<'py, W: numpy::Element + Copy + Into<i64> + Sync>(
    scores: &Bound<'py, PyAny>,
    words: &Bound<'py, PyAny>,
    pooling: Pooling,
    fractions: &[f64],
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray3<bool>>> {
    let (py, scores, words) = (scores.py(), array::<f32, Ix2>("scores", scores)?, array::<W, Ix2>("words", words)?);
    let (rows, width) = same_shape("words", words.shape(), scores.shape())?;
    let (values, words) = (scores.as_slice()?, words.as_slice()?);
    let offsets = even_offsets(rows, width);
    let ragged = Ragged::new("scores", values, &offsets)?;
    marked(py, Ix3(fractions.len(), rows, width), |out| {
        topk::word_rationales(&ragged, words, pooling, fractions, threads, out)
    })
}

#[pyfunction]
#[pyo3(signature = (values, offsets, selectable, fractions, *, threads=None))]
pub(super) fn ragged_rationales<'py>(
    values: &Bound<'py, PyAny>,
    offsets: &Bound<'py, PyAny>,
    selectable: Option<&Bound<'py, PyAny>>,
    fractions: Vec<f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<bool>>> {
    let (py, values, offsets) =
        (values.py(), array::<f32, Ix1>("values", values)?, array::<i64, Ix1>("offsets", offsets)?);
    let selectable = selectable.map(|marked| marks::<Ix1>("selectable", marked)).transpose()?;
    let selectable = selectable.as_ref().map(|marked| marked.as_slice()).transpose()?;
    let ragged = Ragged::new("scores", values.as_slice()?, offsets.as_slice()?)?;
    marked(py, Ix2(fractions.len(), values.len()), |out| {
        topk::rationales(&ragged, selectable, &fractions, threads, out)
    })
}
