//! Metrics of any probabilities, marks and scores: refused, or inside their range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unirex::faithfulness as faith;
use unirex::plausibility as plaus;
use unirex::ragged::Ragged;
use unirex::ranking::rank_rows;
use unirex::relative_gain::{extremes, relative_gain};

type Case = (Vec<f64>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<f64>, u8);

fuzz_target!(|case: Case| {
    let (mut numbers, a, b, cuts, thresholds, kind) = case;
    if kind & 1 == 1 {
        numbers.iter_mut().for_each(|n| *n = (n.to_bits() % 1001) as f64 / 1000.0);
    }
    let sorted = |length: usize| {
        let mut offsets: Vec<i64> = cuts.iter().map(|&c| i64::from(c) % (length as i64 + 1)).collect();
        offsets.extend([0, length as i64]);
        offsets.sort_unstable();
        offsets
    };
    let flag = |bytes: &[u8]| -> Vec<u8> { bytes.iter().map(|&m| if kind & 2 == 2 { m & 1 } else { m }).collect() };
    let length = a.len().min(b.len());
    let (a, b, at) = (flag(&a[..length]), flag(&b[..length]), sorted(length));
    let rationale = Ragged::new("rationale", &a, &at).expect("sorted offsets are sound");
    let gold = Ragged::new("gold", &b, &at).expect("sorted offsets are sound");
    let unit = |values: &[f64]| assert!(values.iter().all(|v| v.is_nan() || (0.0..=1.0).contains(v)), "{values:?}");
    if let Ok(found) = plaus::token_agreement(&rationale, &gold) {
        [&found.precision, &found.recall, &found.f1].into_iter().for_each(|values| unit(values));
    }
    let _ = plaus::token_counts(&rationale, &gold);
    let _ = plaus::token_f1_both_classes(&rationale, &gold).map(|values| unit(&values));
    let _ = plaus::iou_agreement(&rationale, &gold, &thresholds[..thresholds.len().min(4)]);
    let n = numbers.len().min(length);
    let at = sorted(n);
    let scores = Ragged::new("scores", &numbers[..n], &at).expect("sorted offsets are sound");
    let flags: Vec<bool> = b[..n].iter().map(|&m| m & 1 == 1).collect();
    let marks = Ragged::new("gold", &flags, &at).expect("sorted offsets are sound");
    if let Ok(found) = rank_rows(&scores, &marks, Some(1)) {
        [&found.auprc, &found.average_precision, &found.roc_auc].into_iter().for_each(|values| unit(values));
    }
    let half = numbers.len() / 2;
    let (full, other) = numbers.split_at(half);
    let _ = faith::comprehensiveness(full, other);
    let _ = faith::sufficiency(full, other);
    let _ = faith::log_odds(full, other);
    let _ = faith::normalised_comprehensiveness(full, other, full).map(|values| unit(&values));
    let _ = faith::normalised_sufficiency(full, other, full).map(|values| unit(&values));
    let _ = faith::aopc(&numbers, kind.into(), true);
    let at = sorted(half);
    let classes: Vec<i64> = cuts.iter().map(|&c| i64::from(c as i8)).collect();
    if let Ok(rows) = Ragged::new("probabilities", full, &at) {
        let _ = faith::class_probability("probabilities", &rows, &classes, (kind >> 4).into());
        let _ = faith::entropy_shift(&rows, &rows, (kind >> 4).into());
        let _ = faith::kl_divergence(&rows, &rows, (kind >> 4).into());
    }
    let _ = extremes(&numbers, &a);
    let _ = relative_gain(full, other, &numbers[half.min(other.len())..], kind & 4 == 4);
});
