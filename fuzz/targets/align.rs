//! Words and tokens at any places of any text.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use unirex::align::{Spans, align, link};
use unirex::ragged::Ragged;

#[derive(Arbitrary, Debug)]
struct Row {
    text: Vec<u8>,
    words: Vec<(u8, u8)>,
    tokens: Vec<(i8, i8)>,
}

#[derive(Arbitrary, Debug)]
struct Case {
    rows: Vec<Row>,
    /// One place of one array is replaced by this, which may be anything.
    wild: Option<(u8, u8, i64)>,
}

/// A character of every kind that matters: letters, white space of several sorts, and no character at all.
const KINDS: [u32; 8] = [0x61, 0x20, 0x0a, 0xa0, 0x1f600, 0xd800, 0x11_0000, 0x85];

fuzz_target!(|case: Case| {
    let mut text = Vec::new();
    let mut arrays: [Vec<i64>; 7] = Default::default();
    let [text_at, starts, ends, words_at, from, to, tokens_at] = &mut arrays;
    for offsets in [&mut *text_at, &mut *words_at, &mut *tokens_at] {
        offsets.push(0);
    }
    for row in &case.rows {
        text.extend(row.text.iter().map(|&b| KINDS[usize::from(b % 8)]));
        let mut at = 0;
        for &(gap, length) in &row.words {
            let start = at + i64::from(gap % 4);
            at = start + i64::from(length % 8) + 1;
            starts.push(start);
            ends.push(at);
        }
        for &(start, length) in &row.tokens {
            from.push(i64::from(start));
            to.push(i64::from(start) + i64::from(length % 16));
        }
        text_at.push(text.len() as i64);
        words_at.push(starts.len() as i64);
        tokens_at.push(from.len() as i64);
    }
    if let Some((array, place, value)) = case.wild {
        let array = &mut arrays[usize::from(array) % 7];
        if !array.is_empty() {
            let place = usize::from(place) % array.len();
            array[place] = value;
        }
    }
    let [text_at, starts, ends, words_at, from, to, tokens_at] = &arrays;
    let (Ok(text), Ok(words), Ok(tokens)) = (
        Ragged::new("text", &text, text_at),
        Spans::new("words", [starts, ends, words_at]),
        Spans::new("tokens", [from, to, tokens_at]),
    ) else {
        return;
    };
    if let Ok(found) = align(&tokens, &text, &words, Some(1)) {
        let n = from.len();
        assert_eq!(found.tokens.len(), 3 * n);
        let (word_of, places) = found.tokens.split_at(n);
        assert!(word_of.iter().all(|&word| word >= -1));
        let (first, last) = places.split_at(n);
        assert!(first.iter().zip(last).all(|(a, b)| a <= b));
        assert_eq!(align(&tokens, &text, &words, Some(2)).ok(), Some(found));
    }
    if let Ok(links) = link(&words, &tokens, Some(1)) {
        assert_eq!(links.sources.len(), links.weights.len());
        assert!(links.weights.iter().all(|weight| (0.0..=1.0).contains(weight)));
        assert!(links.offsets.windows(2).all(|pair| pair[0] <= pair[1]));
    }
});
