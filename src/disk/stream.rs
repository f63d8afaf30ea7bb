//! A file read or written from its begin to its end, for what wants `Read` and `Write`.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::DiskFile;

/// Where a file is being read or written.
#[derive(Debug)]
pub struct Stream {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Stream {
    /// At the file's begin.
    pub fn new(file: Arc<dyn DiskFile>) -> Stream {
        Stream { file, at: 0 }
    }

    /// Bytes read or written so far.
    pub fn at(&self) -> u64 {
        self.at
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.file.len()?.saturating_sub(self.at);
        let part = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.file.read_at(self.at, &mut into[..part])?;
        self.at += part as u64;
        Ok(part)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
