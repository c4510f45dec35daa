//! Rows of unequal length: `values` and `offsets`, the layout of Arrow's large list.

use std::ops::Range;

use crate::error::{Error, Result};

/// A borrowed ragged array whose offsets are known to be sound.
///
/// Row `i` is `values[offsets[i]..offsets[i + 1]]`. The first offset need not be zero and the last need not reach
/// the end of the values, so a slice of a longer Arrow array needs no copy.
#[derive(Debug, Clone, Copy)]
pub struct Ragged<'a, T> {
    values: &'a [T],
    offsets: &'a [i64],
}

impl<'a, T> Ragged<'a, T> {
    /// A ragged view, after checking that the offsets never go down and stay inside the values.
    ///
    /// `name` is the argument named in errors.
    pub fn new(name: &'static str, values: &'a [T], offsets: &'a [i64]) -> Result<Self> {
        if offsets.is_empty() {
            return Err(Error::OffsetsEmpty { name });
        }
        let high = values.len() as i64;
        let mut low = 0;
        for (index, &found) in offsets.iter().enumerate() {
            if found < low || found > high {
                return Err(Error::OffsetOutOfOrder { name, index, found, low, high });
            }
            low = found;
        }
        Ok(Self { values, offsets })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Room for `per_row` results of every row, each of values of its own, whatever somebody asks for.
    #[must_use]
    pub fn room(&self, per_row: usize) -> usize {
        self.len().saturating_mul(per_row).min(self.values.len())
    }

    /// The values of row `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [T] {
        &self.values[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }

    /// All values, those that lie in no row included.
    #[must_use]
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// The offsets, one more than there are rows.
    #[must_use]
    pub fn offsets(&self) -> &'a [i64] {
        self.offsets
    }

    /// Checks the number of rows against that of another argument.
    pub fn as_many_rows(&self, name: &'static str, expected: usize, other: &'static str) -> Result<()> {
        let found = self.len();
        if found == expected { Ok(()) } else { Err(Error::LengthMismatch { name, found, other, expected }) }
    }

    /// Checks that `other` has the same number of rows, each of the same length.
    pub fn same_shape<U>(&self, name: &'static str, other: &Ragged<'_, U>, other_name: &'static str) -> Result<()> {
        other.as_many_rows(other_name, self.len(), name)?;
        for row in 0..self.len() {
            let (expected, found) = (self.row_len(row), other.row_len(row));
            if expected != found {
                return Err(Error::RowLengthMismatch { row, name: other_name, found, other: name, expected });
            }
        }
        Ok(())
    }

    /// Length of row `i`.
    #[must_use]
    pub fn row_len(&self, i: usize) -> usize {
        (self.offsets[i + 1] - self.offsets[i]) as usize
    }
}

/// The offsets of `rows` rows of `width` values: a dense array as a ragged one.
#[must_use]
pub fn even_offsets(rows: usize, width: usize) -> Vec<i64> {
    (0..=rows).map(|row| (row * width) as i64).collect()
}

/// Blocks of rows with at least `size` values each (the last may have fewer): what one thread takes at a time.
#[must_use]
pub fn blocks(offsets: &[i64], size: i64) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut first = 0;
    for end in 1..offsets.len() {
        if offsets[end] - offsets[first] >= size || end + 1 == offsets.len() {
            blocks.push(first..end);
            first = end;
        }
    }
    blocks
}

/// The values of each block, to be written to.
///
/// `offsets` and `blocks` as in [`blocks`]; `values` at least as long as the last offset.
pub fn split<'a, T>(mut values: &'a mut [T], offsets: &[i64], blocks: &[Range<usize>]) -> Vec<&'a mut [T]> {
    let mut at = 0;
    let mut pieces = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (start, end) = (offsets[block.start] as usize, offsets[block.end] as usize);
        let (piece, rest) = std::mem::take(&mut values).split_at_mut(end - at);
        pieces.push(&mut piece[start - at..]);
        (values, at) = (rest, end);
    }
    pieces
}

/// The values of each block in each of `planes` arrays that lie one after another in `out`, all of the same length.
pub fn split_planes<'a, T>(
    mut out: &'a mut [T],
    planes: usize,
    offsets: &[i64],
    blocks: &[Range<usize>],
) -> Vec<Vec<&'a mut [T]>> {
    let length = out.len() / planes.max(1);
    let mut pieces: Vec<Vec<_>> = blocks.iter().map(|_| Vec::with_capacity(planes)).collect();
    for _ in 0..planes {
        let (plane, rest) = std::mem::take(&mut out).split_at_mut(length);
        for (pieces, piece) in pieces.iter_mut().zip(split(plane, offsets, blocks)) {
            pieces.push(piece);
        }
        out = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_slice() -> Result<()> {
        let ragged = Ragged::new("scores", &[0, 1, 2, 3, 4], &[1, 3, 3, 4])?;
        assert_eq!((ragged.len(), ragged.is_empty()), (3, false));
        assert!(Ragged::new("scores", &[0], &[1])?.is_empty());
        assert_eq!((ragged.values(), ragged.offsets()), (&[0, 1, 2, 3, 4][..], &[1, 3, 3, 4][..]));
        assert_eq!((ragged.row_len(0), ragged.row_len(2)), (2, 1));
        assert_eq!(ragged.row(0), [1, 2]);
        assert!(ragged.row(1).is_empty());
        assert_eq!(ragged.row(2), [3]);
        Ok(())
    }

    #[test]
    fn blocks_cover_every_row_once() {
        let offsets = [1, 3, 3, 4, 9];
        assert_eq!(blocks(&offsets, 3), [0..3, 3..4]);
        assert_eq!(blocks(&offsets, 100).first(), Some(&(0..4)));
        assert!(blocks(&[5], 1).is_empty());
        let mut values = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(split(&mut values, &offsets, &[0..3, 3..4]), [&[1, 2, 3][..], &[4, 5, 6, 7, 8]]);
    }

    #[test]
    fn planes_are_split_alike() {
        let offsets = even_offsets(3, 2);
        assert_eq!(offsets, [0, 2, 4, 6]);
        let mut values: Vec<i32> = (0..12).collect();
        let pieces = split_planes(&mut values, 2, &offsets, &[0..2, 2..3]);
        assert_eq!(pieces, [[&[0, 1, 2, 3][..], &[6, 7, 8, 9]], [&[4, 5], &[10, 11]]]);
        assert_eq!(split_planes(&mut values, 0, &offsets, &[0..1, 1..3]), [[[0_i32; 0]; 0]; 2]);
    }

    #[test]
    fn refuses_unsound_offsets() {
        let values = [0.0; 4];
        for offsets in [&[][..], &[-1, 2], &[0, 3, 2], &[0, 5], &[5], &[0, i64::MAX], &[i64::MIN, 0]] {
            assert!(Ragged::new("scores", &values, offsets).is_err(), "{offsets:?}");
        }
    }

    #[test]
    fn shapes_are_compared_row_by_row() -> Result<()> {
        let a = Ragged::new("scores", &[0.0; 3], &[0, 1, 3])?;
        let b = Ragged::new("gold", &[1_u8; 3], &[0, 2, 3])?;
        let error = a.same_shape("scores", &b, "gold").err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("row 0: gold has 2 values, expected 1 (as scores)"));
        Ok(())
    }
}
