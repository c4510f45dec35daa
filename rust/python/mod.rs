//! The only place that knows Python: arguments in, one call into the core with the GIL released, arrays out.
//!
//! One file a topic; `_rust` lists what they offer. No arithmetic and no policy here.
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
mod _rust {
    #[pymodule_export]
    use crate::python::align::{align_tokens, link_tokens, split_words, words_to_tokens};
    #[pymodule_export]
    use crate::python::eraser::{EraserRows, EraserScorer, validate_eraser};
    #[pymodule_export]
    use crate::python::metrics::{
        aopc, class_probability, column_sums, complexity_of, comprehensiveness, decision_flip, entropy_shift, extremes,
        hash_ids, iou_agreement, kl_divergence, log_odds, normalised_comprehensiveness, normalised_sufficiency,
        rationale_length, relative_gain_of, sufficiency, token_agreement, token_counts, token_f1_both_classes,
        weighted_sums,
    };
    #[pymodule_export]
    use crate::python::orders::OrderSearch;
    #[pymodule_export]
    use crate::python::ranking::rank_rows;
    #[pymodule_export]
    use crate::python::selection::{ragged_rationales, rationales, word_rationales};
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
