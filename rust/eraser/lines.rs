//! Reads a file of lines in blocks: parsed in parallel, handed on in order.
//!
//! A block holds whole lines, so where blocks are cut changes nothing; while one batch of blocks is parsed the next
//! is read. Memory is two batches, or two lines where lines are longer than a batch.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr2, memrchr};
use rayon::prelude::*;

use crate::eraser::json::Fault;
use crate::eraser::problem::Problem;
use crate::eraser::source;

/// A line longer than this is refused rather than kept in memory.
const LONGEST_LINE: usize = 1 << 28;

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

/// The lines of a file, a batch at a time.
struct Reader {
    path: PathBuf,
    source: Box<dyn Read + Send>,
    /// The start of a line whose end is not read yet.
    rest: Vec<u8>,
    sizes: Sizes,
    started: bool,
    ended: bool,
}

/// A buffer that keeps its length, so that it is zeroed once and not for every batch.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    filled: usize,
}

impl Reader {
    fn open(path: &Path, sizes: Sizes) -> Result<Self, Problem> {
        let source = source::open(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self { path: path.to_owned(), source, rest: Vec::new(), sizes, started: false, ended: false })
    }

    /// Fills `batch` with whole lines; it is left empty at the end of the file.
    fn fill(&mut self, batch: &mut Batch) -> Result<(), Problem> {
        batch.filled = 0;
        batch.put(&self.rest);
        self.rest.clear();
        let mut wanted = self.sizes.batch.max(1);
        while !self.ended {
            while batch.filled < wanted && !self.ended {
                let read = batch.read(&mut *self.source, wanted).map_err(|error| unreadable(&self.path, &error))?;
                self.ended = read == 0;
            }
            if self.ended {
                break;
            }
            if let Some(end) = memrchr(b'\n', batch.filled()) {
                self.rest.extend_from_slice(batch.filled().get(end + 1..).unwrap_or_default());
                batch.filled = end + 1;
                break;
            }
            if wanted > LONGEST_LINE {
                let fault = Fault::new("a line longer than 256 MiB", "one JSON object a line");
                return Err(Problem::new(&self.path, None, fault));
            }
            wanted *= 2;
        }
        if !std::mem::replace(&mut self.started, true) && batch.filled().starts_with(MARK) {
            batch.bytes.drain(..MARK.len());
            batch.filled -= MARK.len();
        }
        Ok(())
    }
}

impl Batch {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.filled);
        self.bytes.extend_from_slice(bytes);
        self.filled = self.bytes.len();
    }

    fn read(&mut self, source: &mut dyn Read, wanted: usize) -> io::Result<usize> {
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        let free = self.bytes.get_mut(self.filled..).unwrap_or_default();
        loop {
            match source.read(free) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(read) => {
                    self.filled += read;
                    return Ok(read);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What `parse` made of a block.
#[derive(Debug)]
pub struct Parsed<T> {
    /// Lines in the block.
    pub lines: u64,
    /// What was made of them.
    pub outcome: T,
}

/// A file of lines on its way through the parser.
struct Stream {
    reader: Reader,
    current: Batch,
    next: Batch,
}

impl Stream {
    /// Opens a file and reads its first batch.
    fn open(path: &Path, sizes: Sizes) -> Result<Self, Problem> {
        let mut reader = Reader::open(path, sizes)?;
        let (mut current, next) = (Batch::default(), Batch::default());
        reader.fill(&mut current)?;
        Ok(Self { reader, current, next })
    }

    /// What `parse` makes of the blocks of the next batch, in order; nothing at the end of the file.
    ///
    /// Blocks are parsed in parallel, and the batch after them is read at the same time: what is wrong with reading it
    /// comes second.
    fn step<T: Send>(&mut self, parse: impl Fn(&[u8]) -> T + Sync) -> (Vec<T>, Result<(), Problem>) {
        let Self { reader, current, next } = self;
        if current.filled == 0 {
            return (Vec::new(), Ok(()));
        }
        let blocks = cut(current.filled(), reader.sizes.block.max(1));
        let (read, parsed) =
            rayon::join(|| reader.fill(next), || blocks.par_iter().map(|&block| parse(block)).collect());
        std::mem::swap(current, next);
        (parsed, read)
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

/// The file that is being read, and the lines before the next batch.
struct Open {
    path: PathBuf,
    stream: Stream,
    lines_before: u64,
}

/// What came of a batch of a file.
pub struct Step<T> {
    /// The file.
    pub path: PathBuf,
    /// For each block the number of lines before it and what was made of it.
    pub blocks: Vec<(u64, T)>,
}

impl Files {
    /// Files to read.
    #[must_use]
    pub fn new(paths: &[PathBuf], sizes: Sizes) -> Self {
        Self { waiting: paths.iter().cloned().collect(), open: None, sizes, failed: None }
    }

    /// The first line of the file that comes next, without its end; none if the file is empty. The file stays open, so
    /// that a pipe is read once.
    pub fn first_line(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let Some(open) = self.opened()? else { return Ok(None) };
        Ok(split(open.stream.current.filled()).next().map(<[u8]>::to_vec))
    }

    /// The file that is being read, else the next one; none after the last.
    fn opened(&mut self) -> Result<Option<&mut Open>, Problem> {
        if self.open.is_none() {
            let Some(path) = self.waiting.pop_front() else { return Ok(None) };
            let stream = Stream::open(&path, self.sizes)?;
            self.open = Some(Open { path, stream, lines_before: 0 });
        }
        Ok(self.open.as_mut())
    }

    /// What `parse` makes of the next batch; none at the end of the last file. To be called inside a thread pool.
    pub fn step<T: Send>(&mut self, parse: impl Fn(&[u8]) -> Parsed<T> + Sync) -> Result<Option<Step<T>>, Problem> {
        loop {
            if let Some(problem) = self.failed.take() {
                return Err(problem);
            }
            self.opened()?;
            let Some(open) = &mut self.open else { return Ok(None) };
            let (parsed, read) = open.stream.step(&parse);
            self.failed = read.err();
            if parsed.is_empty() {
                self.open = None;
                continue;
            }
            let mut blocks = Vec::with_capacity(parsed.len());
            for Parsed { lines, outcome } in parsed {
                blocks.push((open.lines_before, outcome));
                open.lines_before += lines;
            }
            return Ok(Some(Step { path: open.path.clone(), blocks }));
        }
    }
}

/// Parses the lines of a file in parallel and hands the results on in order.
///
/// `parse` gets a block of whole lines; `fold` gets the number of lines before the block and what came of it.
/// To be called inside a thread pool.
pub fn stream<T: Send>(
    path: &Path,
    sizes: Sizes,
    parse: impl Fn(&[u8]) -> Parsed<T> + Sync,
    mut fold: impl FnMut(u64, T) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut files = Files::new(&[path.to_owned()], sizes);
    while let Some(step) = files.step(&parse)? {
        for (lines_before, outcome) in step.blocks {
            fold(lines_before, outcome)?;
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

/// A line as text.
pub fn as_text(line: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        let byte = line.get(at).copied().unwrap_or_default();
        Fault::new(format!("byte 0x{byte:02x}"), "UTF-8").within(&format!("column {}", at + 1))
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
#[must_use]
pub fn find(path: &Path) -> Option<PathBuf> {
    ["", ".gz", ".zst"]
        .iter()
        .map(|ending| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        })
        .find(|file| file.is_file())
}
