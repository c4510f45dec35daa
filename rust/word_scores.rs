//! Scores carried from tokens to words and back.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::pool;
use crate::ragged::{Ragged, blocks, split};

/// Tokens a thread should have to itself: below it a hand-over costs more than it saves.
const TOKENS_A_TASK: i64 = 1 << 14;

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
#[derive(Debug, Clone, Copy, Default)]
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
            _ if self.tokens == 0 => score,
            Pooling::Max => self.value.max(score),
            Pooling::Mean | Pooling::Sum => self.value + score,
            Pooling::First => self.value,
        };
        self.tokens += 1;
    }

    /// The score of the word; NaN if it has no token.
    #[inline]
    #[must_use]
    pub fn score(self, how: Pooling) -> f64 {
        match (self.tokens, how) {
            (0, _) => f64::NAN,
            (n, Pooling::Mean) => self.value / f64::from(n),
            _ => self.value,
        }
    }
}

/// Word scores from token scores, the words of all rows one after another; NaN for a word without tokens.
///
/// `words` has the shape of `scores` and holds the word of each token, negative = none; row i has
/// `word_offsets[i + 1] - word_offsets[i]` words. Scores of no word are ignored, NaN included.
pub fn to_words(
    scores: &Ragged<'_, f32>,
    words: &Ragged<'_, i32>,
    word_offsets: &[i64],
    how: Pooling,
    threads: Option<usize>,
) -> Result<Vec<f32>> {
    scores.same_shape("scores", words, "words")?;
    let mut out = Vec::new();
    let n_words = word_offsets.last().copied().unwrap_or(0).max(0) as usize;
    out.try_reserve_exact(n_words).map_err(|_| {
        let expected = "as many words as fit into memory";
        Error::BadParameter { name: "word_offsets", found: n_words.to_string(), expected }
    })?;
    out.resize(n_words, f32::NAN);
    Ragged::new("word_offsets", &out, word_offsets)?.as_many_rows("word_offsets", scores.len(), "scores")?;
    let blocks = blocks(scores.offsets(), TOKENS_A_TASK);
    let tasks = blocks.iter().cloned().zip(split(&mut out, word_offsets, &blocks)).collect();
    pool::each(threads, tasks, |(rows, mut out): (_, &mut [f32])| {
        let mut pooled = Vec::new();
        for row in rows {
            let n = (word_offsets[row + 1] - word_offsets[row]) as usize;
            let (here, rest) = std::mem::take(&mut out).split_at_mut(n);
            out = rest;
            pooled.clear();
            pooled.resize(n, Pooled::default());
            pool_row(row, scores.row(row), words.row(row), how, &mut pooled)?;
            for (out, word) in here.iter_mut().zip(&pooled) {
                *out = word.score(how) as f32;
            }
        }
        Ok(())
    })?;
    Ok(out)
}

fn pool_row(row: usize, scores: &[f32], words: &[i32], how: Pooling, pooled: &mut [Pooled]) -> Result<()> {
    for (index, (&score, &word)) in scores.iter().zip(words).enumerate() {
        if word < 0 {
            continue;
        }
        let Some(pooled) = pooled.get_mut(word as usize) else {
            let expected = "a word of the row";
            return Err(Error::BadValue { row, name: "words", index, found: f64::from(word), expected });
        };
        if score.is_nan() {
            return Err(Error::BadValue { row, name: "scores", index, found: f64::NAN, expected: "a number" });
        }
        pooled.add(f64::from(score), how);
    }
    Ok(())
}

/// Every token's value, that of its word; `fill` for a token of no word.
///
/// `words` as in [`to_words`].
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

    const SCORES: [f32; 6] = [f32::NAN, 1.0, 5.0, 3.0, -2.0, -4.0];
    const WORDS: [i32; 6] = [-1, 0, 0, 0, 2, 1];
    const OFFSETS: [i64; 3] = [0, 4, 6];
    const WORD_OFFSETS: [i64; 3] = [0, 2, 5];

    fn pooled(how: Pooling) -> Result<Vec<f32>> {
        let scores = Ragged::new("scores", &SCORES, &OFFSETS)?;
        to_words(&scores, &Ragged::new("words", &WORDS, &OFFSETS)?, &WORD_OFFSETS, how, None)
    }

    #[test]
    fn pools_by_word_and_says_which_have_no_token() -> Result<()> {
        for (how, first) in [(Pooling::Max, 5.0), (Pooling::Mean, 3.0), (Pooling::Sum, 9.0), (Pooling::First, 1.0)] {
            let found = pooled(how)?;
            assert_eq!((found[0], found[3], found[4]), (first, -4.0, -2.0));
            assert!(found[1].is_nan() && found[2].is_nan());
        }
        Ok(())
    }

    #[test]
    fn comes_back_to_the_tokens() -> Result<()> {
        let values = pooled(Pooling::Max)?;
        let words = Ragged::new("words", &WORDS, &OFFSETS)?;
        let back = to_tokens(&Ragged::new("values", &values, &WORD_OFFSETS)?, &words, 0.0)?;
        assert_eq!(back, [0.0, 5.0, 5.0, 5.0, -2.0, -4.0]);
        Ok(())
    }

    #[test]
    fn refuses_words_that_are_not_there() -> Result<()> {
        let scores = Ragged::new("scores", &[1.0_f32, 2.0], &[0, 2])?;
        let words = Ragged::new("words", &[0, 1], &[0, 2])?;
        let error = to_words(&scores, &words, &[0, 1], Pooling::Max, None).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("row 0: words[1] is 1, expected a word of the row"));
        assert!(to_words(&scores, &words, &[0], Pooling::Max, None).is_err());
        assert!(to_words(&scores, &words, &[0, i64::MAX], Pooling::Max, None).is_err());
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
        assert!(Pooled::default().score(Pooling::First).is_nan());
    }
}
