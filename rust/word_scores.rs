//! How the scores of a word's tokens become its own, and values of words those of their tokens.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::ragged::Ragged;

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

    fn from_str(name: &str) -> Result<Self> {
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
        self.value = match how {
            Pooling::Max => self.value.max(score),
            Pooling::Mean | Pooling::Sum => self.value + score,
            Pooling::First => self.value,
        };
        self.tokens += 1;
    }

    /// The score of the word.
    #[inline]
    #[must_use]
    pub fn score(self, how: Pooling) -> f64 {
        if how == Pooling::Mean { self.value / f64::from(self.tokens) } else { self.value }
    }
}

/// Every token's value, that of its word; `fill` for a token of no word.
///
/// `words` holds the word of each token, negative = none.
pub fn to_tokens(values: &Ragged<'_, f32>, words: &Ragged<'_, i32>, fill: f32) -> Result<Vec<f32>> {
    values.as_many_rows("values", words.len(), "words")?;
    let mut out = vec![fill; words.values().len()];
    for row in 0..words.len() {
        let (values, words_here) = (values.row(row), words.row(row));
        let first = words.offsets()[row] as usize;
        for (index, (out, &word)) in out[first..].iter_mut().zip(words_here).enumerate() {
            if word >= 0 {
                *out = *values.get(word as usize).ok_or_else(|| {
                    let expected = "a word of the row";
                    Error::BadValue { row, name: "words", index, found: f64::from(word), expected }
                })?;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_value_of_its_word() -> Result<()> {
        let words = Ragged::new("words", &[-1, 0, 0, 0, 2, 1], &[0, 4, 6])?;
        let values = Ragged::new("values", &[5.0, f32::NAN, f32::NAN, -4.0, -2.0], &[0, 2, 5])?;
        assert_eq!(to_tokens(&values, &words, 0.0)?, [0.0, 5.0, 5.0, 5.0, -2.0, -4.0]);
        Ok(())
    }

    #[test]
    fn refuses_words_that_are_not_there() -> Result<()> {
        let words = Ragged::new("words", &[0, 1], &[0, 2])?;
        assert!("median".parse::<Pooling>().is_err());
        let error = to_tokens(&Ragged::new("values", &[1.0], &[0, 1])?, &words, 0.0).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("row 0: words[1] is 1, expected a word of the row"));
        assert!(to_tokens(&Ragged::new("values", &[1.0], &[0, 1, 1])?, &words, 0.0).is_err());
        Ok(())
    }

    #[test]
    fn names_of_pooling() -> Result<()> {
        use Pooling::{First, Max, Mean, Sum};
        let named = ["max", "mean", "sum", "first"].map(str::parse).into_iter().collect::<Result<Vec<Pooling>>>()?;
        assert_eq!(named, [Max, Mean, Sum, First]);
        Ok(())
    }

    /// A word whose first token is known from the start, as the selection of words makes it.
    #[test]
    fn a_word_begins_with_its_first_token() {
        for (how, expected) in [(Pooling::Max, 4.0), (Pooling::Mean, 3.0), (Pooling::Sum, 6.0), (Pooling::First, 2.0)] {
            let mut word = Pooled::new(2.0);
            word.add(4.0, how);
            assert_eq!((word.score(how), word.tokens), (expected, 2));
        }
    }
}
