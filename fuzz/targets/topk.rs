//! Scores, marks and fractions of any value: refused, or exactly the best are chosen.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unirex::ragged::Ragged;
use unirex::topk::{count, rationales, word_rationales};
use unirex::word_scores::{Pooling, to_tokens};

type Case = (Vec<f32>, Vec<u8>, Vec<u8>, Vec<f64>, u8);

fuzz_target!(|case: Case| {
    let (mut scores, cuts, marks, fractions, kind) = case;
    if kind & 1 == 1 {
        // Few distinct values: ties decide.
        scores.iter_mut().for_each(|score| *score = (score.to_bits() % 4) as f32);
    }
    if kind & 2 == 2 {
        // Long rows, which go through buckets.
        scores = scores.iter().copied().cycle().take(scores.len() * 40).collect();
    }
    let fractions: Vec<f64> = match kind & 4 {
        4 => fractions.iter().map(|f| (f.to_bits() % 100 + 1) as f64 / 100.0).collect(),
        _ => fractions,
    };
    let fractions = &fractions[..fractions.len().min(4)];
    let mut offsets: Vec<i64> = cuts.iter().map(|&c| i64::from(c) % (scores.len() as i64 + 1)).collect();
    offsets.extend([0, scores.len() as i64]);
    offsets.sort_unstable();
    let ragged = Ragged::new("scores", &scores, &offsets).expect("sorted offsets are sound");
    let selectable: Vec<u8> = scores.iter().enumerate().map(|(i, _)| marks.get(i).map_or(1, |m| m & 1)).collect();
    let mut out = vec![7; scores.len() * fractions.len()];
    if rationales(&ragged, Some(&selectable), fractions, Some(1), &mut out).is_ok() {
        for (plane, &fraction) in out.chunks(scores.len().max(1)).zip(fractions) {
            for row in 0..ragged.len() {
                let at = offsets[row] as usize..offsets[row + 1] as usize;
                let able = at.clone().filter(|&i| selectable[i] != 0);
                let chosen: Vec<usize> = able.clone().filter(|&i| plane[i] == 1).collect();
                assert_eq!(chosen.len(), count(able.clone().count(), fraction));
                assert_eq!(at.filter(|&i| plane[i] != 0).count(), chosen.len());
                let lowest = chosen.iter().map(|&i| scores[i]).fold(f32::INFINITY, f32::min);
                assert!(able.filter(|&i| plane[i] == 0).all(|i| scores[i] <= lowest));
            }
        }
    }
    let words: Vec<i32> =
        marks.iter().map(|&m| i32::from(m as i8)).chain(std::iter::repeat(-1)).take(scores.len()).collect();
    let how = [Pooling::Max, Pooling::Mean, Pooling::Sum, Pooling::First][usize::from(kind >> 6)];
    let mut out = vec![7; scores.len() * fractions.len()];
    let _ = word_rationales(&ragged, &words, how, fractions, Some(1), &mut out);
    let words = Ragged::new("words", &words, &offsets).expect("sorted offsets are sound");
    let _ = to_tokens(&ragged, &words, 0.0);
});
