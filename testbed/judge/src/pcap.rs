//! The frames that were added to a pcap file since it was last read.
//!
//! Source: the classic format of libpcap, as the machine that wrote it orders bytes.

use anyhow::{Result, ensure};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Length of the file's header and of each record's, in bytes.
const FILE: usize = 24;
const RECORD: usize = 16;

/// A pcap file that grows.
#[derive(Debug)]
pub(crate) struct Growing {
    file: File,
    unread: Vec<u8>,
    begun: bool,
}

impl Growing {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let unread = Vec::new();
        Ok(Self {
            file,
            unread,
            begun: false,
        })
    }

    /// The frames that were written whole since this was last asked.
    pub(crate) fn frames(&mut self) -> Result<Vec<Vec<u8>>> {
        self.file.read_to_end(&mut self.unread)?;
        let mut at = 0;
        if !self.begun && self.unread.len() >= FILE {
            ensure!(number(&self.unread, 0) == 0xa1b2_c3d4, "this is no pcap");
            self.begun = true;
            at = FILE;
        }
        let mut frames = Vec::new();
        while self.begun && self.unread.len() >= at + RECORD {
            let len = number(&self.unread, at + 8) as usize;
            let Some(frame) = self.unread.get(at + RECORD..at + RECORD + len) else {
                break;
            };
            frames.push(frame.to_vec());
            at += RECORD + len;
        }
        self.unread.drain(..at);
        Ok(frames)
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_ne_bytes(word.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_frame_is_read_once_and_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcap");
        let mut file = File::create(&path).unwrap();
        let mut growing = Growing::open(&path).unwrap();
        let mut bytes = Vec::from(0xa1b2_c3d4_u32.to_ne_bytes());
        bytes.extend([0; 20]);
        for frame in [&[1, 2, 3][..], &[4]] {
            let len = u32::try_from(frame.len()).unwrap().to_ne_bytes();
            bytes.extend([[0; 4], [0; 4], len, len].concat());
            bytes.extend(frame);
        }
        let mut seen = Vec::new();
        for byte in &bytes {
            file.write_all(&[*byte]).unwrap();
            seen.extend(growing.frames().unwrap());
        }
        assert_eq!(seen, [vec![1, 2, 3], vec![4]]);
        assert!(growing.frames().unwrap().is_empty());
    }
}
