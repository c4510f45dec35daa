//! Results in the format of the ERASER benchmark: read as a stream, checked, and scored as its own scorer does.
//!
//! From bytes to scores: `source` (decompression) → `lines` (blocks of lines, in parallel) → `json` → `instance`,
//! `annotations`, `docs` → `results`, which walks through the lines for `score` (with `hard`, `classes`, `mean` and `tally`)
//! and for `join`. What is kept for the whole run is the annotations and the lengths of the documents.

mod annotations;
mod check;
mod classes;
mod docs;
mod hard;
mod instance;
mod join;
mod json;
mod lines;
mod mean;
mod probabilities;
mod results;
mod score;
mod source;
mod spans;
mod tally;
#[cfg(test)]
mod tests;

pub use docs::Docs;
pub use instance::Instance;
pub use join::{Columns, RowReader, Rows, Shape};
pub use lines::{Sizes, split};
pub use results::Input;
pub use score::{EraserScorer, Options, Scores, validate};
