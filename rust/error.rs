//! The one error type: every variant carries the names and numbers a person needs to find the fault.

/// What can be wrong with the input of a kernel.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// `offsets` is empty; it needs one entry more than there are rows.
    #[error("{name}: offsets are empty, expected one entry more than there are rows")]
    OffsetsEmpty {
        /// The argument.
        name: &'static str,
    },
    /// `offsets` goes down, starts below zero or ends behind the values.
    #[error("{name}: offsets[{index}] is {found}, expected {low} to {high}")]
    OffsetOutOfOrder {
        /// The argument.
        name: &'static str,
        /// Position in `offsets`.
        index: usize,
        /// The offset found there.
        found: i64,
        /// Smallest allowed value.
        low: i64,
        /// Largest allowed value.
        high: i64,
    },
    /// Two arguments that must have the same length have not.
    #[error("{name} has length {found}, expected {expected} (as {other})")]
    LengthMismatch {
        /// The argument.
        name: &'static str,
        /// Its length.
        found: usize,
        /// The argument it must agree with.
        other: &'static str,
        /// That one's length.
        expected: usize,
    },
    /// A row of one argument has another length than the same row of another argument.
    #[error("row {row}: {name} has {found} values, expected {expected} (as {other})")]
    RowLengthMismatch {
        /// The row.
        row: usize,
        /// The argument.
        name: &'static str,
        /// Its length in that row.
        found: usize,
        /// The argument it must agree with.
        other: &'static str,
        /// That one's length in that row.
        expected: usize,
    },
    /// A value is outside its range (NaN included).
    #[error("row {row}: {name}[{index}] is {found}, expected {expected}")]
    BadValue {
        /// The row.
        row: usize,
        /// The argument.
        name: &'static str,
        /// Position inside the row.
        index: usize,
        /// The value found.
        found: f64,
        /// What is allowed, in words.
        expected: &'static str,
    },
    /// A parameter that holds for the whole call is outside its range.
    #[error("{name} is {found}, expected {expected}")]
    BadParameter {
        /// The parameter.
        name: &'static str,
        /// The value found.
        found: String,
        /// What is allowed, in words.
        expected: &'static str,
    },
    /// A file is not what it should be.
    #[error(transparent)]
    Input(#[from] crate::problem::Problem),
    /// The system gave no threads.
    #[error("could not start threads: {reason}")]
    NoThreads {
        /// What the system said.
        reason: String,
    },
}

/// A result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;
