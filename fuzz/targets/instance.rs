//! One line of results, read as JSON and as an instance: whatever the bytes are, an answer or a fault that fits a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unirex::eraser::{Instance, split};

fuzz_target!(|bytes: &[u8]| {
    for line in split(bytes) {
        let Err(fault) = Instance::parse(line, |_| Ok(())) else { continue };
        assert!(!fault.expected.is_empty(), "a fault says what was expected");
        assert!(fault.found.chars().count() <= 400, "a fault shows an excerpt: {}", fault.found.len());
    }
});
