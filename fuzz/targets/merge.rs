//! Sums of any numbers, whole and in two parts: refused, or the same to the last bit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unirex::bootstrap::{Weights, hash_ids, row_hashes, weighted_sums};
use unirex::ragged::Ragged;
use unirex::sums::column_sums;

type Case = (Vec<f64>, Vec<f64>, Vec<u64>, u64, u8, u8, bool);

fuzz_target!(|case: Case| {
    let (values, steps, words, seed, replicates, cut, swap) = case;
    let _ = column_sums(&values, usize::from(cut));
    let kind = if swap { Weights::Swap } else { Weights::Poisson };
    if let Ok(hashes) = row_hashes(&words) {
        let _ = weighted_sums(kind, seed, hashes, &values, &steps, replicates.into(), Some(1));
    }
    // One column of sane numbers, in two parts.
    let sane: Vec<f64> = values.iter().map(|&v| if v.abs() < 1e6 { v } else { f64::NAN }).collect();
    let texts: Vec<u8> = (0..sane.len()).map(|i| (i % 251) as u8).collect();
    let offsets: Vec<i64> = (0..=sane.len() as i64).collect();
    let hashes = hash_ids(&Ragged::new("ids", &texts, &offsets).expect("sound offsets"));
    let at = usize::from(cut).min(sane.len());
    let sum = |from: usize, to: usize| {
        let sums = column_sums(&sane[from..to], 1).expect("sane numbers add up");
        let drawn = weighted_sums(kind, seed, &hashes[from..to], &sane[from..to], &[1e-3], 5, Some(1));
        (sums, drawn.expect("sane numbers are drawn"))
    };
    let (whole, drawn) = sum(0, sane.len());
    let ((a, drawn_a), (b, drawn_b)) = (sum(0, at), sum(at, sane.len()));
    assert_eq!(whole[0].scaled, a[0].scaled + b[0].scaled);
    assert_eq!(whole[0].n, a[0].n + b[0].n);
    for i in 0..5 {
        assert_eq!(drawn.sums[i], drawn_a.sums[i] + drawn_b.sums[i]);
        assert_eq!(drawn.counts[i], drawn_a.counts[i] + drawn_b.counts[i]);
    }
});
