//! Offsets of any kind: refused, or every row inside the values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unirex::ragged::{Ragged, blocks, split};

fuzz_target!(|input: (Vec<u8>, Vec<i64>, Vec<i16>, u8)| {
    let (mut values, wild, near, size) = input;
    let tame: Vec<i64> = near.iter().map(|&n| i64::from(n % 64)).collect();
    let mut sorted = tame.clone();
    sorted.sort_unstable();
    let length = values.len() as i64;
    for offsets in [wild, tame, sorted] {
        let sound = !offsets.is_empty()
            && offsets.iter().all(|&o| (0..=length).contains(&o))
            && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let made = Ragged::new("values", &values, &offsets);
        assert_eq!(made.is_ok(), sound, "{offsets:?} of {length}");
        let Ok(ragged) = made else { continue };
        let total: usize = (0..ragged.len()).map(|row| ragged.row(row).len()).sum();
        assert_eq!(total as i64, offsets[offsets.len() - 1] - offsets[0]);
        assert!(ragged.same_shape("a", &ragged, "b").is_ok());
        let blocks = blocks(&offsets, i64::from(size));
        assert_eq!(blocks.iter().map(ExactSizeIterator::len).sum::<usize>(), ragged.len());
        let pieces = split(&mut values, &offsets, &blocks);
        assert_eq!(pieces.iter().map(|piece| piece.len()).sum::<usize>(), total);
    }
});
