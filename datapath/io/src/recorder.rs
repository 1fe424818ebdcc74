//! Writes down what passes a device, as a capture file.

use crate::Device;
use core::time::Duration;
use frame::{Burst, Frame, FramePool};
use pcap_file::PcapResult;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use std::io::Write;

/// A device whose frames are written down in the order they pass: those received, and those sent.
///
/// It allocates and writes: for tests, and for looking at a fault. Time is what
/// [`at`](Self::at) said last.
pub struct Recorder<D, W: Write> {
    device: D,
    /// `None` once writing failed.
    capture: Option<PcapWriter<W>>,
    now: Duration,
}

impl<D, W: Write> Recorder<D, W> {
    /// Writes down what passes `device`.
    ///
    /// # Errors
    ///
    /// If the head of the capture cannot be written.
    pub fn new(device: D, capture: W) -> PcapResult<Self> {
        Ok(Self {
            device,
            capture: Some(PcapWriter::new(capture)?),
            now: Duration::ZERO,
        })
    }

    /// Says what time it is: since 1970 for a real capture, since the start for a simulated one.
    pub fn at(&mut self, now: Duration) {
        self.now = now;
    }

    /// Whether all that passed was written down. Once a write failed nothing more is, and frames
    /// pass as before.
    pub fn is_complete(&self) -> bool {
        self.capture.is_some()
    }

    /// The device behind.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Ends the capture; `None` if it is not complete.
    pub fn end(self) -> Option<W> {
        self.capture.map(PcapWriter::into_writer)
    }

    fn write<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>) {
        for bytes in frames {
            let Some(capture) = &mut self.capture else {
                return;
            };
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let packet = PcapPacket::new(self.now, len, bytes);
            if capture.write_packet(&packet).is_err() {
                self.capture = None;
            }
        }
    }
}

impl<D: Device, W: Write + Send> Device for Recorder<D, W> {
    fn receive(&mut self, pool: &mut FramePool, into: &mut Burst) -> usize {
        let before = into.len();
        let received = self.device.receive(pool, into);
        self.write(into.iter().skip(before).map(Frame::bytes));
        received
    }

    fn send(&mut self, pool: &mut FramePool, frames: &mut Burst) {
        // Which of them are carried is known afterwards, when they are gone.
        let copies: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes().to_vec()).collect();
        self.device.send(pool, frames);
        let carried = copies.len() - frames.len();
        self.write(copies.iter().take(carried).map(Vec::as_slice));
    }

    fn reclaim(&mut self, pool: &mut FramePool) {
        self.device.reclaim(pool);
    }

    fn wake(&mut self) {
        self.device.wake();
    }

    fn share(&mut self, frames: usize) {
        self.device.share(frames);
    }

    fn descriptor(&self) -> Option<i32> {
        self.device.descriptor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use frame::Region;
    use pcap_file::pcap::PcapReader;

    #[test]
    fn what_passes_is_read_back_with_its_time() {
        let mut pool = FramePool::new(Region::heap(4));
        let (device, end) = memory::pair(1);
        let mut recorder = Recorder::new(device, Vec::new()).unwrap();
        let mut burst = Burst::new(4);

        recorder.at(Duration::from_micros(5));
        assert!(end.inject(&[1; 60]));
        assert_eq!(recorder.receive(&mut pool, &mut burst), 1);
        assert!(end.inject(&[2; 61]));
        recorder.at(Duration::from_micros(6));
        assert_eq!(recorder.receive(&mut pool, &mut burst), 1);
        recorder.at(Duration::new(1, 7000));
        recorder.send(&mut pool, &mut burst);
        assert_eq!(burst.give_all(&mut pool), 1, "there was room for one");

        let capture = recorder.end().unwrap();
        let mut reader = PcapReader::new(capture.as_slice()).unwrap();
        let mut read = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let packet = packet.unwrap();
            read.push((packet.timestamp, packet.data.into_owned()));
        }
        let at = Duration::from_micros;
        assert_eq!(
            read,
            [
                (at(5), vec![1; 60]),
                (at(6), vec![2; 61]),
                (at(1_000_007), vec![1; 60]),
            ]
        );
    }

    #[test]
    fn a_long_frame_is_written_down_whole() {
        let jumbo = Region::heap(frame::JUMBO / frame::CHUNK);
        let mut pool = FramePool::new(Region::heap(4)).with_jumbo(jumbo);
        let (device, end) = memory::pair(1);
        let mut recorder = Recorder::new(device, Vec::new()).unwrap();
        let mut burst = Burst::new(4);
        assert!(end.inject(&[7; frame::MAX_JUMBO]));
        assert_eq!(recorder.receive(&mut pool, &mut burst), 1);
        burst.give_all(&mut pool);
        let capture = recorder.end().unwrap();
        let mut reader = PcapReader::new(capture.as_slice()).unwrap();
        let packet = reader.next_packet().unwrap().unwrap();
        assert!(*packet.data == [7; frame::MAX_JUMBO]);
    }

    /// A disk of 100 bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_stops_the_capture_and_no_frame() {
        let mut pool = FramePool::new(Region::heap(4));
        let (device, end) = memory::pair(4);
        let mut recorder = Recorder::new(device, Full(100)).unwrap();
        let mut burst = Burst::new(4);
        for _ in 0..3 {
            assert!(end.inject(&[0; 60]));
        }
        assert_eq!(recorder.receive(&mut pool, &mut burst), 3);
        assert!(!recorder.is_complete());
        burst.give_all(&mut pool);
    }
}
