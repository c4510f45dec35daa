//! Against the definitions, character by character, and row by row.

use super::*;
use crate::ragged::even_offsets;
use proptest::prelude::*;

const LENGTH: usize = 12;

fn spans() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let place = 0..=LENGTH as i64;
    prop::collection::vec((place.clone(), place).prop_map(|(a, b)| (a.min(b), a.max(b))), 0..7)
}

fn words() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::btree_set(0..=LENGTH as i64, 0..9).prop_map(|cuts| {
        let cuts: Vec<i64> = cuts.into_iter().collect();
        cuts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    })
}

fn shared(a: (i64, i64), b: (i64, i64)) -> i64 {
    (a.0..a.1).filter(|i| (b.0..b.1).contains(i)).count() as i64
}

/// Calls `op` with spans of one row.
fn with<T>(spans: &[(i64, i64)], op: impl FnOnce(&Spans<'_>) -> Result<T>) -> Result<T> {
    let (starts, ends): (Vec<i64>, Vec<i64>) = spans.iter().copied().unzip();
    op(&Spans::new("spans", [&starts, &ends, &[0, starts.len() as i64]])?)
}

#[test]
fn what_is_wrong_with_a_word_is_said() {
    let said = |words: &[(i64, i64)]| with(words, |words| words.words(0, 9).map(|_| ())).map_err(|e| e.to_string());
    let refused = |text: &str| Err(format!("row 0: spans{text}"));
    assert_eq!(said(&[(0, 3), (3, 9)]), Ok(()));
    assert_eq!(said(&[(0, 3), (2, 5)]), refused("[1] is 2, expected a start no lower than the end of the one before"));
    assert_eq!(said(&[(0, 3), (4, 4)]), refused("[1] is 4, expected an end above the start"));
    assert_eq!(said(&[(0, 3), (5, 4)]), refused("[1] is 4, expected an end no lower than the start"));
    assert_eq!(said(&[(-1, 3)]), refused("[0] is -1, expected a start of 0 or more"));
    assert_eq!(said(&[(0, 10)]), refused("[0] is 10, expected an end inside the text"));
}

/// What `op` says against spans of one row.
fn said<T>(spans: &[(i64, i64)], op: impl FnOnce(&Spans<'_>) -> Result<T>) -> String {
    with(spans, op).err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn what_is_wrong_with_a_token_or_a_stretch_is_said() -> Result<()> {
    let text = Ragged::new("text", &[97; 3], &[0, 3])?;
    let aligned = |tokens: &[(i64, i64)]| said(tokens, |tokens| with(&[], |words| align(tokens, &text, words, None)));
    let linked = |tokens: &[(i64, i64)]| said(tokens, |tokens| with(&[], |sources| link(tokens, sources, None)));
    for (spans, text) in [
        ([(0, 0), (0, 3)], ""),
        ([(0, 1), (-1, 2)], "row 0: spans[1] is -1, expected a start of 0 or more"),
        ([(0, 1), (2, 1)], "row 0: spans[1] is 1, expected an end no lower than the start"),
    ] {
        assert_eq!((aligned(&spans), linked(&spans)), (text.into(), text.into()));
    }
    assert_eq!(aligned(&[(3, 3), (2, 4)]), "row 0: spans[1] is 4, expected an end inside the text");
    Ok(())
}

#[test]
fn arguments_have_equally_many_rows() -> Result<()> {
    let two = Spans::new("two", [&[], &[], &[0, 0, 0]])?;
    let text = Ragged::new("text", &[97; 3], &[0, 3])?;
    assert!(said(&[], |one| align(&two, &text, one, None)).starts_with("two has length 2"));
    assert!(said(&[], |one| align(one, &text, &two, None)).starts_with("two has length 2"));
    assert!(said(&[], |one| link(one, &two, None)).starts_with("two has length 2"));
    assert!(Spans::new("starts", [&[0], &[], &[0, 0]]).is_err());
    Ok(())
}

#[test]
fn white_space_is_that_of_python() {
    let spaces: Vec<u32> = (0..0x3100).filter(|&c| is_space(c)).collect();
    let expected = [0x09..=0x0d, 0x1c..=0x20, 0x85..=0x85, 0xa0..=0xa0, 0x1680..=0x1680, 0x2000..=0x200a];
    let expected = expected.into_iter().flatten().chain([0x2028, 0x2029, 0x202f, 0x205f, 0x3000]);
    assert_eq!(spaces, expected.collect::<Vec<_>>());
    assert!(!is_space(u32::MAX));
    let text = [32, 32, 97, 32, 32, 32];
    assert_eq!(trim(&text, 0, 6), (2, 3));
    assert_eq!(trim(&text, 1, 3), (2, 3));
    assert_eq!(trim(&text, 3, 5), (5, 5));
}

/// These rows of spans again and again, as starts, ends and offsets that do not begin at 0.
fn many(rows: &[Vec<(i64, i64)>], times: usize) -> [Vec<i64>; 3] {
    let rows = || rows.iter().cycle().take(rows.len() * times);
    let spans: Vec<_> = std::iter::once((-9, -9)).chain(rows().flatten().copied()).collect();
    let offsets = std::iter::once(1).chain(rows().scan(1, |at, row| {
        *at += row.len() as i64;
        Some(*at)
    }));
    let (starts, ends) = spans.into_iter().unzip();
    [starts, ends, offsets.collect()]
}

/// Enough rows for several blocks come to what each comes to by itself.
#[test]
fn rows_do_not_touch_each_other() -> Result<()> {
    let tokens = [vec![(0, 2), (2, 5)], vec![(3, 5), (0, 1), (1, 2)], vec![], vec![(1, 4)]];
    let words = [vec![(0, 2), (3, 5)], vec![(0, 1), (3, 5)], vec![(0, 5)], vec![(1, 2), (2, 5)]];
    let (rows, times) = (tokens.len(), 6000);
    let [(a, b), (c, d)] = [&tokens, &words].map(|spans| {
        let [starts, ends, offsets] = many(spans, times);
        ([starts, ends], offsets)
    });
    let (all_tokens, all_words) = (Spans::new("tokens", [&a[0], &a[1], &b])?, Spans::new("words", [&c[0], &c[1], &d])?);
    let letters = [97, 98, 32, 99, 100].repeat(rows * times);
    let text_offsets = even_offsets(rows * times, 5);
    let text = Ragged::new("text", &letters, &text_offsets)?;
    let aligned = align(&all_tokens, &text, &all_words, Some(2))?;
    let linked = link(&all_words, &all_tokens, Some(2))?;
    let planes: Vec<&[i32]> = aligned.chunks(a[0].len()).collect();
    for row in 0..rows * times {
        let one = Ragged::new("text", &letters[..5], &[0, 5])?;
        let (tokens, words) = (&tokens[row % rows], &words[row % rows]);
        let alone = with(tokens, |tokens| with(words, |words| align(tokens, &one, words, None)))?;
        let at = b[row] as usize..b[row + 1] as usize;
        let found: Vec<i32> = planes.iter().flat_map(|plane| &plane[at.clone()]).copied().collect();
        assert_eq!(found, alone);
        let alone = with(words, |words| with(tokens, |tokens| link(words, tokens, None)))?;
        let at = d[row] as usize..d[row + 1] as usize;
        let ends = &linked.offsets[at.start - 1..at.end];
        let first = ends[0];
        assert_eq!(ends.iter().map(|end| end - first).collect::<Vec<_>>(), alone.offsets);
        let links = first as usize..ends[words.len()] as usize;
        assert_eq!((&linked.sources[links.clone()], &linked.weights[links]), (&alone.sources[..], &alone.weights[..]));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_token_belongs_to_the_word_it_shares_most_with(
        tokens in spans(),
        words in words(),
        text in prop::collection::vec(prop::sample::select(vec![32_u32, 97, 0x1f, 0x3042, 0x3000, u32::MAX]), LENGTH),
    ) {
        let row = Ragged::new("text", &text, &[0, LENGTH as i64])?;
        let found = with(&tokens, |tokens| with(&words, |words| align(tokens, &row, words, None)))?;
        let n = tokens.len();
        for (i, &(start, end)) in tokens.iter().enumerate() {
            let (start, end) = trim(&text, start as usize, end as usize);
            let span = (start as i64, end as i64);
            prop_assert_eq!((found[n + i], found[2 * n + i]), (start as i32, end as i32));
            let most = words.iter().map(|&word| shared(span, word)).max().filter(|&most| most > 0);
            let best = most.and_then(|most| words.iter().position(|&word| shared(span, word) == most));
            prop_assert_eq!(found[i], best.map_or(-1, |word| word as i32));
        }
    }

    #[test]
    fn links_share_characters(targets in spans(), sources in spans()) {
        let found = with(&targets, |targets| with(&sources, |sources| link(targets, sources, None)))?;
        for (i, &target) in targets.iter().enumerate() {
            let at = found.offsets[i] as usize..found.offsets[i + 1] as usize;
            let all: Vec<i64> = sources.iter().map(|&source| shared(target, source)).collect();
            let expected: Vec<i32> = (0..).zip(&all).filter(|&(_, &n)| n > 0).map(|(source, _)| source).collect();
            prop_assert_eq!(&found.sources[at.clone()], expected);
            for (&source, &weight) in found.sources[at.clone()].iter().zip(&found.weights[at]) {
                let share = all[source as usize] as f64 / all.iter().sum::<i64>() as f64;
                prop_assert!((f64::from(weight) - share).abs() < 1e-6);
            }
        }
    }
}
