//! Reads a file of lines in blocks: parsed in parallel, handed on in order.
//!
//! A block holds whole lines, so where blocks are cut changes nothing; while one batch of blocks is parsed the next
//! is read. Memory is two batches, or two lines where lines are longer than a batch.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiter::JsonValueScratch;
use memchr::{memchr, memchr2, memrchr};
use rayon::prelude::*;

use crate::eraser::json::Line;
use crate::eraser::source;
use crate::problem::{Fault, Problem, Problems};

/// A line longer than this is refused rather than kept in memory, where its numbers take up to 2 GiB.
const LONGEST_LINE: usize = 1 << 26;

/// A byte order mark, which some programs write at the start of a file.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// How much is read and parsed at a time.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Bytes read at a time.
    pub batch: usize,
    /// Bytes one task parses.
    pub block: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { batch: 1 << 22, block: 1 << 17 }
    }
}

/// Several files of lines, one after the other.
pub struct Files {
    waiting: VecDeque<PathBuf>,
    open: Option<Open>,
    sizes: Sizes,
    /// What was wrong with reading on, told after what was read before.
    failed: Option<Problem>,
}

/// The file that is being read.
struct Open {
    path: PathBuf,
    source: Box<dyn Read + Send>,
    /// Whole lines, to be parsed next.
    batch: Vec<u8>,
    /// The memory of the batch before, for the one after.
    spare: Vec<u8>,
    /// The start of a line whose end is not read yet.
    rest: Vec<u8>,
    lines_before: u64,
    ended: bool,
}

/// What came of the blocks of a batch, and the file that they are from.
pub type Step<T> = (PathBuf, Vec<Block<T>>);

/// What came of a block of lines.
pub struct Block<T> {
    /// What was made of them.
    pub outcome: T,
    /// Faults, by the number of their line in the block.
    pub faults: Vec<(u64, Fault)>,
    /// The lines before the block.
    pub before: u64,
    lines: u64,
}

impl Files {
    /// Files to read.
    pub fn new(paths: &[PathBuf], sizes: Sizes) -> Self {
        Self { waiting: paths.iter().cloned().collect(), open: None, sizes, failed: None }
    }

    /// The first line of the file that comes next, without its end; none if the file is empty. The file stays open, so
    /// that a pipe is read once.
    pub fn first_line(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let Some(open) = self.opened()? else { return Ok(None) };
        Ok(split(&open.batch).next().map(<[u8]>::to_vec))
    }

    /// The file that is being read, else the next one; none after the last.
    fn opened(&mut self) -> Result<Option<&mut Open>, Problem> {
        if self.open.is_none() {
            let Some(path) = self.waiting.pop_front() else { return Ok(None) };
            let source = source::open(&path).map_err(|error| unreadable(&path, &error))?;
            let mut open = Open {
                path,
                source,
                batch: Vec::new(),
                spare: Vec::new(),
                rest: Vec::new(),
                lines_before: 0,
                ended: false,
            };
            let mut first = Vec::new();
            open.fill(&mut first, self.sizes.batch)?;
            if first.starts_with(MARK) {
                first.drain(..MARK.len());
            }
            open.batch = first;
            self.open = Some(open);
        }
        Ok(self.open.as_mut())
    }

    /// Takes the lines of the next batch: `take` adds a line, by its number in the block, to what came of its block so
    /// far and reports its faults, of which `limit` are enough. None at the end of the last file; to be called inside a
    /// thread pool.
    ///
    /// The batch after this one is read at the same time: what is wrong with reading it comes second.
    pub fn step<T: Default + Send>(
        &mut self,
        limit: usize,
        take: impl Fn(&mut T, u64, Line<'_, '_>, &mut dyn FnMut(Fault)) + Sync,
    ) -> Result<Option<Step<T>>, Problem> {
        loop {
            if let Some(problem) = self.failed.take() {
                return Err(problem);
            }
            let sizes = self.sizes;
            let Some(open) = self.opened()? else { return Ok(None) };
            if open.batch.is_empty() {
                self.open = None;
                continue;
            }
            let (batch, mut next) = (std::mem::take(&mut open.batch), std::mem::take(&mut open.spare));
            let blocks = cut(&batch, sizes.block.max(1));
            let parse = |block: &&[u8]| parse(block, limit, &take);
            let (read, mut found): (_, Vec<Block<T>>) =
                rayon::join(|| open.fill(&mut next, sizes.batch), || blocks.par_iter().map(parse).collect());
            open.batch = next;
            open.spare = batch;
            for block in &mut found {
                block.before = open.lines_before;
                open.lines_before += block.lines;
            }
            let path = open.path.clone();
            self.failed = read.err();
            return Ok(Some((path, found)));
        }
    }
}

impl Open {
    /// Fills `batch` with whole lines; it is left empty at the end of the file.
    fn fill(&mut self, batch: &mut Vec<u8>, size: usize) -> Result<(), Problem> {
        batch.clear();
        batch.append(&mut self.rest);
        let mut wanted = size.max(1);
        while !self.ended {
            let free = wanted.saturating_sub(batch.len());
            batch.reserve_exact(free);
            let read = self.source.by_ref().take(free as u64).read_to_end(batch);
            self.ended = read.map_err(|error| unreadable(&self.path, &error))? < free;
            if self.ended {
                break;
            }
            if let Some(end) = memrchr(b'\n', batch) {
                self.rest.extend_from_slice(batch.get(end + 1..).unwrap_or_default());
                batch.truncate(end + 1);
                break;
            }
            if wanted >= LONGEST_LINE {
                let fault = Fault::new("a line longer than 64 MiB", "one JSON object a line");
                return Err(Problem::new(&self.path, None, fault));
            }
            wanted *= 2;
        }
        Ok(())
    }
}

fn parse<T: Default>(
    block: &[u8],
    limit: usize,
    take: &impl Fn(&mut T, u64, Line<'_, '_>, &mut dyn FnMut(Fault)),
) -> Block<T> {
    let mut found = Block { outcome: T::default(), faults: Vec::new(), before: 0, lines: 0 };
    let mut scratch = JsonValueScratch::new();
    for bytes in split(block) {
        found.lines += 1;
        if found.faults.len() < limit {
            let (number, faults) = (found.lines, &mut found.faults);
            let line = Line { bytes, scratch: Some(&mut scratch) };
            take(&mut found.outcome, number, line, &mut |fault| faults.push((number, fault)));
        }
    }
    found
}

/// Reads the lines of a file in parallel and hands on what `take` makes of blocks of them (see [`Files::step`]), in
/// order. To be called inside a thread pool.
pub fn each<T: Default + Send>(
    path: &Path,
    sizes: Sizes,
    problems: &mut Problems,
    take: impl Fn(&mut T, Line<'_, '_>, &mut dyn FnMut(Fault)) + Sync,
    mut fold: impl FnMut(T),
) -> Result<(), Problem> {
    let mut files = Files::new(&[path.to_owned()], sizes);
    while let Some((_, blocks)) = files.step(problems.limit, |found, _, line, fault| take(found, line, fault))? {
        for block in blocks {
            fold(block.outcome);
            for (line, fault) in block.faults {
                problems.note(Problem::new(path, Some(block.before + line), fault))?;
            }
        }
    }
    Ok(())
}

/// The lines of a block, without their ends (`\n`, `\r\n` or `\r`, as Python reads text). The last one need not have
/// an end.
pub fn split(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = rest.get(..end);
        rest = rest.get(end..).unwrap_or_default();
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
        line
    })
}

/// Cuts a batch after the first end of line behind every `size` bytes.
fn cut(batch: &[u8], size: usize) -> Vec<&[u8]> {
    let mut blocks = Vec::with_capacity(batch.len() / size + 1);
    let mut rest = batch;
    while !rest.is_empty() {
        let from = size.min(rest.len()) - 1;
        let end = memchr(b'\n', rest.get(from..).unwrap_or_default()).map_or(rest.len(), |at| from + at + 1);
        let (block, after) = rest.split_at(end);
        blocks.push(block);
        rest = after;
    }
    blocks
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(path, None, Fault::new(error.to_string(), "a file that can be read"))
}

/// The file of this name, or compressed with `.gz` or `.zst` added to it; none if there is none.
pub fn find(path: &Path) -> Option<PathBuf> {
    let named = |ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    ["", ".gz", ".zst"].into_iter().map(named).find(|file| file.is_file())
}
