//! The best and the worst order in which the units of a row can be hidden, one after another (NAOPC).
//!
//! An order of n units passes through n sets; what it is worth is the mean of a value over them (the probability of a
//! class when the set is hidden). The value of a set is the same however it was come by, so that the best order to a
//! set is a best order to one of its parents: of the orders through equal sets only the best and the worst go on. With
//! all sets of a size in the beam the search is exact; with fewer it gives orders that exist, so that no order
//! is better than the true best one.
//!
//! The search asks for the values of sets, step after step, and is told them.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::ragged::Ragged;

/// Most units of a row: a set is one word of bits.
pub const MOST_UNITS: usize = 63;

/// Sets whose value is wanted: those of row `i` are `sets[offsets[i]..offsets[i + 1]]`, bit u = unit u is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The sets, in rising order in each row.
    pub sets: Vec<i64>,
    /// One more than there are rows.
    pub offsets: Vec<i64>,
}

/// A search over many rows at once.
#[derive(Debug, Clone)]
pub struct OrderSearch {
    rows: Vec<Row>,
    asked: Option<Vec<i64>>,
}

#[derive(Debug, Clone)]
struct Row {
    units: usize,
    width: usize,
    /// How many units the sets of the beams hide.
    hidden: usize,
    low: Beam,
    high: Beam,
    wanted: Vec<i64>,
}

/// Sets of one size, each with the lowest or highest sum of values on a way to it.
type Beam = Vec<(i64, f64)>;

impl OrderSearch {
    /// A search for rows of so many units; rows of at most `exact` units are searched through, others with a beam of
    /// `width` sets a step.
    pub fn new(units: &[i64], width: usize, exact: usize) -> Result<Self> {
        if width == 0 {
            return Err(Error::BadParameter { name: "width", found: width.to_string(), expected: "at least 1" });
        }
        let rows = units.iter().enumerate().map(|(row, &n)| match usize::try_from(n) {
            Ok(units) if units <= MOST_UNITS => {
                let width = if units <= exact { usize::MAX } else { width };
                let start = vec![(0, 0.0)];
                Ok(Row { units, width, hidden: 0, low: start.clone(), high: start, wanted: Vec::new() })
            }
            _ => Err(Error::BadValue { row, name: "units", index: 0, found: n as f64, expected: "0 to 63" }),
        });
        Ok(Self { rows: rows.collect::<Result<_>>()?, asked: None })
    }

    /// The sets whose value is needed next; none at all once the search is over.
    pub fn wanted(&mut self) -> Wanted {
        let mut found = Wanted { sets: Vec::new(), offsets: vec![0] };
        for row in &mut self.rows {
            row.grow();
            found.sets.extend(&row.wanted);
            found.offsets.push(found.sets.len() as i64);
        }
        self.asked = Some(found.offsets.clone());
        found
    }

    /// Goes on with the values of the sets that `wanted` gave, in their order.
    pub fn tell(&mut self, values: &[f64]) -> Result<()> {
        let offsets = self.asked.clone().unwrap_or_else(|| vec![0; self.rows.len() + 1]);
        let expected = offsets.last().map_or(0, |&end| end as usize);
        if values.len() != expected {
            return Err(Error::LengthMismatch {
                name: "values",
                found: values.len(),
                other: "the sets wanted",
                expected,
            });
        }
        let values = Ragged::new("values", values, &offsets)?;
        for number in 0..self.rows.len() {
            if let Some(index) = values.row(number).iter().position(|value| !value.is_finite()) {
                let found = values.row(number)[index];
                return Err(Error::BadValue { row: number, name: "values", index, found, expected: "a finite number" });
            }
        }
        for (number, row) in self.rows.iter_mut().enumerate() {
            row.step(values.row(number));
        }
        self.asked = None;
        Ok(())
    }

    /// The lowest and the highest mean over the sets of an order, for each row; NaN for rows without units.
    #[must_use]
    pub fn bounds(&self) -> (Vec<f64>, Vec<f64>) {
        let mean = |row: &Row, beam: &Beam| match beam.first() {
            Some(&(_, sum)) if row.units > 0 && row.hidden == row.units => sum / row.units as f64,
            _ => f64::NAN,
        };
        (
            self.rows.iter().map(|row| mean(row, &row.low)).collect(),
            self.rows.iter().map(|row| mean(row, &row.high)).collect(),
        )
    }
}

impl Row {
    /// Lists the sets with one unit more, of both beams.
    fn grow(&mut self) {
        self.wanted.clear();
        if self.hidden < self.units {
            for beam in [&self.low, &self.high] {
                self.wanted.extend(beam.iter().flat_map(|&(set, _)| children(set, self.units)));
            }
            self.wanted.sort_unstable();
            self.wanted.dedup();
        }
    }

    fn step(&mut self, values: &[f64]) {
        if !self.wanted.is_empty() {
            let value_of: HashMap<i64, f64> = self.wanted.iter().copied().zip(values.iter().copied()).collect();
            self.low = next(&self.low, self.units, self.width, &value_of, 1.0);
            self.high = next(&self.high, self.units, self.width, &value_of, -1.0);
            self.hidden += 1;
            self.wanted.clear();
        }
    }
}

fn children(set: i64, units: usize) -> impl Iterator<Item = i64> {
    (0..units).map(|unit| 1_i64 << unit).filter(move |bit| set & bit == 0).map(move |bit| set | bit)
}

/// The best sets with one unit more; `sign` 1 = the lowest sums are best, -1 = the highest. Of equal sums the set that
/// hides the earlier units goes first.
fn next(beam: &Beam, units: usize, width: usize, value_of: &HashMap<i64, f64>, sign: f64) -> Beam {
    let mut best: HashMap<i64, f64> = HashMap::new();
    for &(set, sum) in beam {
        for child in children(set, units) {
            best.entry(child).and_modify(|old| *old = if sign * sum < sign * *old { sum } else { *old }).or_insert(sum);
        }
    }
    let mut found: Beam = best.into_iter().map(|(set, sum)| (set, sum + value_of[&set])).collect();
    found.sort_unstable_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)).then(a.0.cmp(&b.0)));
    found.truncate(width);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lowest and highest mean over all n! orders, by trying each.
    fn by_trying(values: &[f64], units: usize) -> (f64, f64) {
        fn go(values: &[f64], units: usize, set: usize, sum: f64, found: &mut (f64, f64)) {
            if set == (1 << units) - 1 {
                let mean = sum / units as f64;
                *found = (found.0.min(mean), found.1.max(mean));
            }
            for unit in (0..units).filter(|unit| set >> unit & 1 == 0) {
                let next = set | 1 << unit;
                go(values, units, next, sum + values[next], found);
            }
        }
        let mut found = (f64::INFINITY, f64::NEG_INFINITY);
        go(values, units, 0, 0.0, &mut found);
        found
    }

    /// Bounds of rows whose sets have these values, and how many values were asked for.
    fn search(rows: &[&[f64]], width: usize, exact: usize) -> Result<(Vec<f64>, Vec<f64>, usize)> {
        let units: Vec<i64> = rows.iter().map(|values| i64::from(values.len().trailing_zeros())).collect();
        let mut search = OrderSearch::new(&units, width, exact)?;
        let mut asked = 0;
        loop {
            let wanted = search.wanted();
            if wanted.sets.is_empty() {
                break;
            }
            asked += wanted.sets.len();
            let value = |(row, at): (usize, usize)| rows[row][wanted.sets[at] as usize];
            let places = (0..rows.len()).flat_map(|row| {
                (wanted.offsets[row] as usize..wanted.offsets[row + 1] as usize).map(move |at| (row, at))
            });
            let values: Vec<f64> = places.map(value).collect();
            search.tell(&values)?;
        }
        let (low, high) = search.bounds();
        Ok((low, high, asked))
    }

    fn said<T>(found: Result<T>) -> String {
        found.err().map(|error| error.to_string()).unwrap_or_default()
    }

    proptest! {
        #[test]
        fn a_search_through_all_sets_finds_the_ends_of_all_orders(
            rows in prop::collection::vec((1_u32..7).prop_flat_map(|n| prop::collection::vec(0.0..1.0, 1 << n)), 1..5)
        ) {
            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let (low, high, asked) = search(&rows, 1, 6)?;
            // Each set but the empty one is asked for once.
            prop_assert_eq!(asked, rows.iter().map(|values| values.len() - 1).sum::<usize>());
            for (row, values) in rows.iter().enumerate() {
                let (lowest, highest) = by_trying(values, values.len().trailing_zeros() as usize);
                prop_assert!((low[row] - lowest).abs() < 1e-12);
                prop_assert!((high[row] - highest).abs() < 1e-12);
            }
        }

        #[test]
        fn a_beam_stays_inside_the_ends_and_a_wide_one_reaches_them(
            values in prop::collection::vec(0.0..1.0, 1 << 6), width in 1_usize..4
        ) {
            let (lowest, highest) = by_trying(&values, 6);
            let (low, high, _) = search(&[&values], width, 0)?;
            prop_assert!(low[0] >= lowest - 1e-12 && high[0] <= highest + 1e-12 && low[0] <= high[0] + 1e-12);
            // 20 sets of three units are the most of one size.
            let (low, high, _) = search(&[&values], 20, 0)?;
            prop_assert!((low[0] - lowest).abs() < 1e-12 && (high[0] - highest).abs() < 1e-12);
        }
    }

    #[test]
    fn a_beam_of_one_is_greedy() -> Result<()> {
        // Unit 0 looks better first, but unit 1 makes way for the lower end.
        let values = [0.9, 0.5, 0.6, 0.1, 0.8, 0.5, 0.0, 0.1];
        let (low, _, _) = search(&[&values], 1, 0)?;
        assert!((low[0] - (0.5 + 0.1 + 0.1) / 3.0).abs() < 1e-12);
        let (low, _, _) = search(&[&values], 2, 0)?;
        assert!((low[0] - (0.6 + 0.0 + 0.1) / 3.0).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn rows_without_units_have_no_ends_and_one_unit_has_one_order() -> Result<()> {
        let (low, high, asked) = search(&[&[0.3], &[0.3, 0.7]], 5, 8)?;
        assert!(low[0].is_nan() && high[0].is_nan());
        assert!((low[1] - 0.7).abs() < 1e-12 && (high[1] - 0.7).abs() < 1e-12);
        assert_eq!(asked, 1);
        Ok(())
    }

    #[test]
    fn bad_input_is_named() -> Result<()> {
        assert_eq!(said(OrderSearch::new(&[3, 64], 5, 8)), "row 1: units[0] is 64, expected 0 to 63");
        assert_eq!(said(OrderSearch::new(&[3], 0, 8)), "width is 0, expected at least 1");
        let mut search = OrderSearch::new(&[0, 2], 5, 8)?;
        assert_eq!(search.wanted(), Wanted { sets: vec![1, 2], offsets: vec![0, 0, 2] });
        assert_eq!(said(search.tell(&[0.5, f64::NAN])), "row 1: values[1] is NaN, expected a finite number");
        assert_eq!(said(search.tell(&[0.5])), "values has length 1, expected 2 (as the sets wanted)");
        assert_eq!(said(search.tell(&[])), "values has length 0, expected 2 (as the sets wanted)");
        search.tell(&[0.5, 0.25])?; // those that were asked for are still wanted
        assert_eq!(said(search.tell(&[0.5])), "values has length 1, expected 0 (as the sets wanted)");
        assert!(search.bounds().0[1].is_nan());
        Ok(())
    }
}
