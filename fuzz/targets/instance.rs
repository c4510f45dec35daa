//! One line of results, read as JSON and as an instance: whatever the bytes are, an answer or a fault that fits a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unirex::eraser::instance::Instance;
use unirex::eraser::json::Parser;
use unirex::eraser::lines;

fuzz_target!(|bytes: &[u8]| {
    for line in lines::split(bytes) {
        let Ok(text) = lines::as_text(line) else { continue };
        let skipped = Parser::whole_object(text, |p, _| p.skip());
        let read = Instance::default().read(text);
        if let (Err(_), Ok(())) = (&skipped, &read) {
            panic!("an instance was read from what is not JSON");
        }
        for fault in [skipped.err(), read.err()].into_iter().flatten() {
            assert!(!fault.expected.is_empty(), "a fault says what was expected");
            assert!(fault.found.chars().count() <= 400, "a fault shows an excerpt: {}", fault.found.len());
        }
    }
});
