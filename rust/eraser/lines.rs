//! Reads files of lines of JSON in blocks: parsed in parallel, handed on in order.
//!
//! A block holds whole lines, so where blocks are cut changes nothing; while one batch of blocks is parsed the next
//! is read. Memory is two batches, or two lines where lines are longer than a batch.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr2, memrchr};
use rayon::prelude::*;

use crate::eraser::json::{self, Object, Scratch};
use crate::eraser::source;
use crate::problem::{Fault, Outcome, Problem, Problems};

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
    /// The start of a line whose end is not read yet.
    rest: Vec<u8>,
    lines_before: u64,
    ended: bool,
}

/// What came of a block of lines, their faults by the number of the line in the block, and how many lines there are.
type Block<T> = (T, Faults, u64);

/// Faults by the number of their line in the block.
pub type Faults = Vec<(u64, Fault)>;

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
        if self.open.is_none()
            && let Some(path) = self.waiting.pop_front()
        {
            let source = source::open(&path).map_err(|error| unreadable(&path, &error))?;
            let (batch, rest) = (Vec::new(), Vec::new());
            let mut open = Open { path, source, batch, rest, lines_before: 0, ended: false };
            open.batch = open.read(self.sizes.batch)?;
            if open.batch.starts_with(MARK) {
                open.batch.drain(..MARK.len());
            }
            self.open = Some(open);
        }
        Ok(self.open.as_mut())
    }

    /// Takes the lines of the next batch; false at the end of the last file. To be called inside a thread pool.
    ///
    /// `take` adds the object of a line, by its number in the block, to what came of its block so far, and reports or
    /// returns its faults. `fold` gets what came of the blocks in order, and may add to their faults.
    ///
    /// The batch after this one is read at the same time: what is wrong with reading it comes second.
    pub fn step<T: Default + Send>(
        &mut self,
        problems: &mut Problems,
        take: impl Fn(&mut T, u64, Object<'_, '_>, &mut dyn FnMut(Fault)) -> Outcome<()> + Sync,
        mut fold: impl FnMut(T, &mut Faults),
    ) -> Result<bool, Problem> {
        self.failed.take().map_or(Ok(()), Err)?;
        let (sizes, limit) = (self.sizes, problems.limit);
        while let Some(open) = self.opened()? {
            if open.batch.is_empty() {
                self.open = None;
                continue;
            }
            let batch = std::mem::take(&mut open.batch);
            let blocks = cut(&batch, sizes.block.max(1));
            let parse = |block: &&[u8]| parse(block, limit, &take);
            let (read, found): (_, Vec<Block<T>>) =
                rayon::join(|| open.read(sizes.batch), || blocks.par_iter().map(parse).collect());
            let (path, mut before) = (open.path.clone(), open.lines_before);
            open.lines_before += found.iter().map(|(_, _, lines)| lines).sum::<u64>();
            match read {
                Ok(next) => open.batch = next,
                Err(problem) => self.failed = Some(problem),
            }
            for (outcome, mut faults, lines) in found {
                fold(outcome, &mut faults);
                faults.sort_by_key(|(line, _)| *line);
                for (line, fault) in faults {
                    problems.note(Problem::new(&path, Some(before + line), fault))?;
                }
                before += lines;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

impl Open {
    /// The next whole lines, about `size` bytes; none at the end of the file.
    fn read(&mut self, size: usize) -> Result<Vec<u8>, Problem> {
        let mut batch = std::mem::take(&mut self.rest);
        let mut wanted = size.max(1);
        while !self.ended {
            let free = wanted.saturating_sub(batch.len());
            batch.reserve_exact(free);
            let read = self.source.by_ref().take(free as u64).read_to_end(&mut batch);
            self.ended = read.map_err(|error| unreadable(&self.path, &error))? < free;
            if self.ended {
                break;
            }
            if let Some(end) = memrchr(b'\n', &batch) {
                self.rest = batch.split_off(end + 1);
                break;
            }
            if wanted >= LONGEST_LINE {
                let fault = Fault::new("a line longer than 64 MiB", "one JSON object a line");
                return Err(Problem::new(&self.path, None, fault));
            }
            wanted *= 2;
        }
        Ok(batch)
    }
}

fn parse<T: Default>(
    block: &[u8],
    limit: usize,
    take: &impl Fn(&mut T, u64, Object<'_, '_>, &mut dyn FnMut(Fault)) -> Outcome<()>,
) -> Block<T> {
    let (mut outcome, mut faults, mut lines) = (T::default(), Faults::new(), 0);
    let mut scratch = Scratch::new();
    for line in split(block) {
        lines += 1;
        if faults.len() < limit {
            let mut note = |fault| faults.push((lines, fault));
            let read = json::read(line, &mut scratch, |fields| take(&mut outcome, lines, fields, &mut note));
            read.unwrap_or_else(note);
        }
    }
    (outcome, faults, lines)
}

/// Reads the lines of one file (see [`Files::step`]). To be called inside a thread pool.
pub fn each<T: Default + Send>(
    path: &Path,
    sizes: Sizes,
    problems: &mut Problems,
    take: impl Fn(&mut T, Object<'_, '_>) -> Outcome<()> + Sync,
    mut fold: impl FnMut(T),
) -> Result<(), Problem> {
    let mut files = Files::new(&[path.to_owned()], sizes);
    while files.step(problems, |found, _, fields, _| take(found, fields), |found, _| fold(found))? {}
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
