//! Alignment: `unirex._rust.align_tokens` and its kin.

use numpy::{IntoPyArray, Ix1, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use super::arrays::array;
use crate::align::{self, Spans};
use crate::ragged::Ragged;
use crate::word_scores;
use crate::words;

type Array<'py, T> = Bound<'py, PyArray1<T>>;

/// Starts, ends and row offsets of spans, as Python hands them over.
#[derive(FromPyObject)]
pub(super) struct SpanArrays<'py>(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

impl<'py> SpanArrays<'py> {
    fn read(self, name: &str) -> PyResult<[PyReadonlyArray1<'py, i64>; 3]> {
        Ok([array(name, &self.0)?, array(name, &self.1)?, array(name, &self.2)?])
    }
}

fn slices<'a>([starts, ends, offsets]: &'a [PyReadonlyArray1<'_, i64>; 3]) -> PyResult<[&'a [i64]; 3]> {
    Ok([starts.as_slice()?, ends.as_slice()?, offsets.as_slice()?])
}

#[pyfunction]
#[pyo3(signature = (tokens, text, text_offsets, words, *, threads=None))]
pub(super) fn align_tokens<'py>(
    py: Python<'py>,
    tokens: SpanArrays<'py>,
    text: &Bound<'py, PyAny>,
    text_offsets: &Bound<'py, PyAny>,
    words: SpanArrays<'py>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<i32>>> {
    let (tokens, words) = (tokens.read("tokens")?, words.read("words")?);
    let (text, text_offsets) = (array::<u32, Ix1>("text", text)?, array::<i64, Ix1>("text_offsets", text_offsets)?);
    let (tokens, words, text, text_offsets) =
        (slices(&tokens)?, slices(&words)?, text.as_slice()?, text_offsets.as_slice()?);
    let out = py.detach(|| {
        align::align(
            &Spans::new("tokens", tokens)?,
            &Ragged::new("text_offsets", text, text_offsets)?,
            &Spans::new("words", words)?,
            threads,
        )
    })?;
    let n = out.len() / 3;
    out.into_pyarray(py).reshape([3, n])
}

#[pyfunction]
#[pyo3(signature = (targets, sources, *, threads=None))]
pub(super) fn link_tokens<'py>(
    py: Python<'py>,
    targets: SpanArrays<'py>,
    sources: SpanArrays<'py>,
    threads: Option<usize>,
) -> PyResult<(Array<'py, i64>, Array<'py, i32>, Array<'py, f32>)> {
    let (targets, sources) = (targets.read("targets")?, sources.read("sources")?);
    let (targets, sources) = (slices(&targets)?, slices(&sources)?);
    let out = py.detach(|| align::link(&Spans::new("targets", targets)?, &Spans::new("sources", sources)?, threads))?;
    Ok((out.offsets.into_pyarray(py), out.sources.into_pyarray(py), out.weights.into_pyarray(py)))
}

#[pyfunction]
pub(super) fn words_to_tokens<'py>(
    values: &Bound<'py, PyAny>,
    word_offsets: &Bound<'py, PyAny>,
    words: &Bound<'py, PyAny>,
    offsets: &Bound<'py, PyAny>,
    fill: f32,
) -> PyResult<Array<'py, f32>> {
    let (py, values, words) = (values.py(), array::<f32, Ix1>("values", values)?, array::<i32, Ix1>("words", words)?);
    let (offsets, word_offsets) =
        (array::<i64, Ix1>("offsets", offsets)?, array::<i64, Ix1>("word_offsets", word_offsets)?);
    let values = Ragged::new("values", values.as_slice()?, word_offsets.as_slice()?)?;
    let words = Ragged::new("words", words.as_slice()?, offsets.as_slice()?)?;
    let out = py.detach(|| word_scores::to_tokens(&values, &words, fill))?;
    Ok(out.into_pyarray(py))
}

#[pyfunction]
pub(super) fn split_words<'py>(
    text: &Bound<'py, PyAny>,
    text_offsets: &Bound<'py, PyAny>,
) -> PyResult<(Array<'py, i64>, Array<'py, i64>, Array<'py, i64>)> {
    let py = text.py();
    let (text, offsets) = (array::<u32, Ix1>("text", text)?, array::<i64, Ix1>("text_offsets", text_offsets)?);
    let texts = Ragged::new("text_offsets", text.as_slice()?, offsets.as_slice()?)?;
    let out = py.detach(|| words::split(&texts));
    Ok((out.starts.into_pyarray(py), out.ends.into_pyarray(py), out.offsets.into_pyarray(py)))
}
