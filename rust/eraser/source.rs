//! Opens a file that may be compressed: gzip and Zstandard are told by their first bytes, whatever the name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The name of the standard input.
const STANDARD_INPUT: &str = "-";

const MAGIC_LENGTH: usize = 4;
const BUFFER: usize = 1 << 16;

/// The bytes of a file after decompression; `-` is the standard input.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = File::open(if path == Path::new(STANDARD_INPUT) { Path::new("/dev/stdin") } else { path })?;
    let mut magic = Vec::with_capacity(MAGIC_LENGTH);
    Read::by_ref(&mut file).take(MAGIC_LENGTH as u64).read_to_end(&mut magic)?;
    let (gzip, zstd) = (is_gzip(&magic), is_zstd(&magic));
    let start = Cursor::new(magic).chain(file);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, start)))
    } else if zstd {
        let source = BufReader::with_capacity(BUFFER, start);
        Box::new(Frames { source, decoder: FrameDecoder::new(), inside: false })
    } else {
        Box::new(start)
    })
}

fn is_gzip(magic: &[u8]) -> bool {
    magic.starts_with(&[0x1f, 0x8b])
}

/// A frame of data, or a skippable one: some tools write an index first.
fn is_zstd(magic: &[u8]) -> bool {
    magic == [0x28, 0xb5, 0x2f, 0xfd] || matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18])
}

/// The contents of all Zstandard frames of a file, one after the other, their checksums compared.
struct Frames<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            if !self.inside {
                if self.source.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.inside = self.start_frame()?;
                continue;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(out);
            }
            if self.decoder.is_finished() {
                self.compare_checksum()?;
                self.inside = false;
            } else {
                let blocks = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, blocks).map_err(io::Error::other)?;
            }
        }
        Ok(0)
    }
}

impl<R: Read> Frames<R> {
    /// Reads the head of a frame; false if it was one to skip.
    fn start_frame(&mut self) -> io::Result<bool> {
        match self.decoder.init(&mut self.source) {
            Ok(()) => Ok(true),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                io::copy(&mut Read::by_ref(&mut self.source).take(u64::from(length)), &mut io::sink())?;
                Ok(false)
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn compare_checksum(&self) -> io::Result<()> {
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("damaged Zstandard data: its checksum differs"));
        }
        Ok(())
    }
}
