//! Exact sums: the same to the last bit in whatever order, chunks or shards the values come.

use crate::error::{Error, Result};

/// Values are added as multiples of 2⁻⁶⁴ in 128 bits.
const STEP: f64 = 1.0 / 18_446_744_073_709_551_616.0;
/// Values beyond this would leave too few bits for adding many of them.
const LARGEST: f64 = 4_294_967_296.0;
/// So many values of that size stay below 2^127.
const MOST_ROWS: usize = 1 << 30;

/// The sum of a column's defined (not NaN) values in multiples of 2⁻⁶⁴, and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColumnSum {
    /// The sum times 2⁶⁴.
    pub scaled: i128,
    /// Number of defined values.
    pub n: i64,
}

/// One sum for each of `n_columns` columns, which lie one after the other in `values`.
///
/// Each value is rounded to a multiple of 2⁻⁶⁴ (below the precision of a double from 2⁻¹¹ on) and then added without
/// any error, so sums of parts add up to the sum of all.
pub fn column_sums(values: &[f64], n_columns: usize) -> Result<Vec<ColumnSum>> {
    let rows = n_rows(values, n_columns)?;
    check_rows(rows)?;
    if rows == 0 && n_columns > MOST_ROWS {
        let expected = "at most 2^30 without rows";
        return Err(Error::BadParameter { name: "n_columns", found: n_columns.to_string(), expected });
    }
    let mut sums = Vec::with_capacity(n_columns);
    for column in 0..n_columns {
        let mut sum = ColumnSum::default();
        for (row, &value) in values.iter().skip(column * rows).take(rows).enumerate() {
            if value.is_nan() {
                continue;
            }
            if value.abs() > LARGEST {
                let expected = "a number between -2^32 and 2^32";
                return Err(Error::BadValue { row, name: "values", index: column, found: value, expected });
            }
            sum.scaled += (value / STEP).round_ties_even() as i128;
            sum.n += 1;
        }
        sums.push(sum);
    }
    Ok(sums)
}

fn check_rows(rows: usize) -> Result<()> {
    if rows <= MOST_ROWS {
        return Ok(());
    }
    Err(Error::BadParameter { name: "rows", found: rows.to_string(), expected: "at most 2^30 at once" })
}

/// Rows of a matrix whose columns lie one after the other.
pub(crate) fn n_rows(values: &[f64], n_columns: usize) -> Result<usize> {
    let rows = values.len().checked_div(n_columns).unwrap_or(0);
    if rows * n_columns == values.len() {
        return Ok(rows);
    }
    let expected = rows * n_columns;
    Err(Error::LengthMismatch { name: "values", found: values.len(), other: "rows times n_columns", expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn skips_nan_and_refuses_the_huge() -> Result<()> {
        let sums = column_sums(&[1.0, f64::NAN, 0.25, 0.5], 2)?;
        assert_eq!(sums[0], ColumnSum { scaled: 1 << 64, n: 1 });
        assert_eq!(sums[1], ColumnSum { scaled: 3 << 62, n: 2 });
        assert!(column_sums(&[f64::INFINITY], 1).is_err());
        assert_eq!(column_sums(&[LARGEST, -LARGEST], 1)?[0], ColumnSum { scaled: 0, n: 2 });
        assert!(column_sums(&[LARGEST.next_up()], 1).is_err());
        assert!(column_sums(&[-LARGEST.next_up()], 1).is_err());
        assert!(check_rows(MOST_ROWS).is_ok() && check_rows(MOST_ROWS + 1).is_err());
        let uneven = column_sums(&[0.0; 5], 3).err().map(|e| e.to_string());
        assert_eq!(uneven.as_deref(), Some("values has length 5, expected 3 (as rows times n_columns)"));
        assert!(column_sums(&[], 0)?.is_empty());
        Ok(())
    }

    proptest! {
        #[test]
        fn parts_in_any_order_add_up(mut values in prop::collection::vec(-1e6..1e6, 1..60), cut in 0_usize..60) {
            let whole = column_sums(&values, 1)?[0];
            values.reverse();
            let (a, b) = values.split_at(cut.min(values.len()));
            prop_assert_eq!(whole.scaled, column_sums(a, 1)?[0].scaled + column_sums(b, 1)?[0].scaled);
            let naive: f64 = values.iter().sum();
            prop_assert!((whole.scaled as f64 * STEP - naive).abs() <= 1e-6);
        }
    }
}
