//! The kernels on one thread: rationales, alignment, scores carried between tokens and words.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unirex::align::{Spans, align, link};
use unirex::ragged::{Ragged, even_offsets};
use unirex::topk::{rationales, word_rationales};
use unirex::word_scores::Pooling;

const ROWS: usize = 4096;
const WIDTH: usize = 512;
const FRACTIONS: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.5];
const ONE: Option<usize> = Some(1);

/// Sums of six uniform numbers: close to normal.
fn scores() -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..ROWS * WIDTH).map(|_| (0..6).map(|_| uniform()).sum::<f32>() - 3.0).collect()
}

fn selection(c: &mut Criterion) {
    let (scores, offsets) = (scores(), even_offsets(ROWS, WIDTH));
    let marks = vec![1_u8; scores.len()];
    let words: Vec<i32> = (0..scores.len()).map(|i| (i % WIDTH / 2) as i32).collect();
    let mut group = c.benchmark_group("top-k rationales, 4096 x 512, five fractions");
    group.throughput(Throughput::Elements(scores.len() as u64)).sample_size(30);
    let mut out = vec![0; FRACTIONS.len() * scores.len()];
    group.bench_function("tokens", |b| {
        b.iter(|| rationales(&Ragged::new("scores", &scores, &offsets)?, Some(&marks), &FRACTIONS, ONE, &mut out));
    });
    group.bench_function("words", |b| {
        b.iter(|| {
            let scores = Ragged::new("scores", &scores, &offsets)?;
            word_rationales(&scores, &words, Pooling::Max, &FRACTIONS, ONE, &mut out)
        });
    });
    group.finish();
}

/// A row of `WIDTH` words of five letters, every third of them in two tokens; tokens include the space before them.
fn row() -> (Vec<u32>, [Vec<i64>; 2], [Vec<i64>; 2]) {
    let letters = (0..6 * WIDTH).map(|i| if i % 6 == 0 { 32 } else { 97 }).collect();
    let words: Vec<i64> = (0..WIDTH as i64).map(|word| 6 * word + 1).collect();
    let word_ends = words.iter().map(|start| start + 5).collect();
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for (i, &start) in words.iter().enumerate() {
        starts.push(start - 1);
        if i % 3 == 0 {
            ends.push(start + 3);
            starts.push(start + 3);
        }
        ends.push(start + 5);
    }
    (letters, [starts, ends], [words, word_ends])
}

fn alignment(c: &mut Criterion) {
    let (letters, tokens, words) = row();
    let [starts, ends, word_starts, word_ends] =
        [&tokens[0], &tokens[1], &words[0], &words[1]].map(|places| places.repeat(ROWS));
    let [token_offsets, word_offsets, text_offsets] =
        [tokens[0].len(), WIDTH, letters.len()].map(|length| even_offsets(ROWS, length));
    let text = letters.repeat(ROWS);
    let tokens = [&starts[..], &ends, &token_offsets];
    let words = [&word_starts[..], &word_ends, &word_offsets];
    let aligned = || {
        let text = Ragged::new("text", &text, &text_offsets)?;
        align(&Spans::new("tokens", tokens)?, &text, &Spans::new("words", words)?, ONE)
    };
    let mut group = c.benchmark_group("alignment, 4096 x 512 words");
    group.throughput(Throughput::Elements(word_starts.len() as u64)).sample_size(20);
    group.bench_function("words of tokens", |b| b.iter(aligned));
    group.bench_function("links to another tokenizer", |b| {
        b.iter(|| link(&Spans::new("targets", tokens)?, &Spans::new("sources", words)?, ONE));
    });
    group.finish();
}

criterion_group!(benches, selection, alignment);
criterion_main!(benches);
