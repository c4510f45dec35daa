//! The words of texts: what white space separates.

use crate::align::is_space;
use crate::ragged::Ragged;

/// Words of many texts, row by row, in characters counted in their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The first character of each word.
    pub starts: Vec<i64>,
    /// One past the last character of each word.
    pub ends: Vec<i64>,
    /// One more than there are texts: whose words lie where.
    pub offsets: Vec<i64>,
}

/// The words of each text, given as code points.
#[must_use]
pub fn split(texts: &Ragged<'_, u32>) -> Words {
    let mut out = Words { starts: Vec::new(), ends: Vec::new(), offsets: vec![0] };
    for row in 0..texts.len() {
        let mut inside = false;
        let text = texts.row(row);
        for (place, &c) in (0..).zip(text) {
            if inside == is_space(c) {
                let bounds = if inside { &mut out.ends } else { &mut out.starts };
                bounds.push(place);
                inside = !inside;
            }
        }
        if inside {
            out.ends.push(text.len() as i64);
        }
        out.offsets.push(out.starts.len() as i64);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_what_the_standard_library_splits(texts in prop::collection::vec("[a\u{e9}\u{1f600} \t\u{a0}\u{3000}]{0,12}", 0..6)) {
            let points: Vec<Vec<u32>> = texts.iter().map(|text| text.chars().map(u32::from).collect()).collect();
            let mut offsets = vec![0];
            offsets.extend(points.iter().scan(0, |end, text| { *end += text.len() as i64; Some(*end) }));
            let values = points.concat();
            let ragged = Ragged::new("texts", &values, &offsets).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let found = split(&ragged);
            for (row, text) in texts.iter().enumerate() {
                let range = found.offsets[row] as usize..found.offsets[row + 1] as usize;
                let characters: Vec<char> = text.chars().collect();
                let words: Vec<String> = found.starts[range.clone()].iter().zip(&found.ends[range])
                    .map(|(&start, &end)| characters[start as usize..end as usize].iter().collect()).collect();
                let expected: Vec<String> = text.split_whitespace().map(String::from).collect();
                prop_assert_eq!(words, expected);
            }
        }
    }
}
