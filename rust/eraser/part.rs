//! What a part of the results came to, as bytes that another machine takes.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

use crate::eraser::json::Fault;
use crate::eraser::problem::Problem;

/// A value as bytes; float64 to the last bit.
pub fn pack<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, Problem> {
    postcard::to_stdvec(value).map_err(|error| Problem::new(path, None, Fault::new(error.to_string(), "a part")))
}

/// The value of such bytes, all of them.
pub fn unpack<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Problem> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(strange(path)),
    }
}

/// The problem of bytes that are no part of these results.
#[must_use]
pub fn strange(path: &Path) -> Problem {
    Problem::new(path, None, Fault::new("bytes that are no part of these results", "those of the same command"))
}
