//! Kernels and metrics of unirex.
//!
//! A pure core (no Python in it) and one thin binding module, [`python`], behind the feature of that name.
//! Rows of unequal length travel as `values` and `offsets` (see [`ragged`]); every result is independent of the
//! number of threads.

pub mod align;
pub mod bootstrap;
mod buckets;
pub mod complexity;
pub mod eraser;
pub mod error;
pub mod faithfulness;
mod lanes;
pub mod order_search;
pub mod plausibility;
pub mod pool;
pub mod problem;
pub mod ragged;
pub mod ranking;
pub mod relative_gain;
mod score;
mod short_rows;
pub mod sums;
pub mod topk;
pub mod word_scores;
pub mod words;

#[cfg(feature = "python")]
pub mod python;

pub use error::{Error, Result};
