//! Words and tokens: who belongs to whom, and scores carried across.

use std::str::FromStr;

use crate::error::Error;

/// How the scores of a word's tokens become the score of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The highest.
    Max,
    /// The mean.
    Mean,
    /// The sum.
    Sum,
    /// That of the first token.
    First,
}

impl FromStr for Pooling {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "max" => Ok(Self::Max),
            "mean" => Ok(Self::Mean),
            "sum" => Ok(Self::Sum),
            "first" => Ok(Self::First),
            _ => Err(Error::BadParameter {
                name: "pooling",
                found: format!("'{name}'"),
                expected: "max, mean, sum or first",
            }),
        }
    }
}

/// The score of a word in the making. Sums are in `f64` and in reading order, so they are the same everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Pooled {
    value: f64,
    tokens: u32,
}

impl Pooled {
    /// A word with its first token.
    #[inline]
    #[must_use]
    pub fn new(score: f64) -> Self {
        Self { value: score, tokens: 1 }
    }

    /// One more token.
    #[inline]
    pub fn add(&mut self, score: f64, how: Pooling) {
        match how {
            Pooling::Max => self.value = if score > self.value || score.is_nan() { score } else { self.value },
            Pooling::Mean | Pooling::Sum => self.value += score,
            Pooling::First => {}
        }
        self.tokens += 1;
    }

    /// The score of the word.
    #[inline]
    #[must_use]
    pub fn score(self, how: Pooling) -> f64 {
        if how == Pooling::Mean { self.value / f64::from(self.tokens) } else { self.value }
    }
}
