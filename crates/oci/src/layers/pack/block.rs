//! The tar cut into blocks of one size.
//!
//! Blocks are few and go round: a reader that finds none left waits until everyone who shares one has dropped it. So
//! memory depends on the number of blocks, never on the payload, and a slow disk or a slow compressor slows the reader.
//!
//! [`BLOCK`] belongs to format 1.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use super::LayerError;

/// Bytes in every block but the last.
pub(super) const BLOCK: usize = 256 * 1024;

/// Some bytes of the tar. Returns to where it came from when dropped.
pub(super) struct Block {
    bytes: Vec<u8>,
    home: Sender<Vec<u8>>,
}

impl Block {
    /// The bytes.
    pub(super) fn data(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let _ = self.home.send(std::mem::take(&mut self.bytes)); // nobody home: the layer is done
    }
}

/// A block that several threads read.
pub(super) type Shared = Arc<Block>;
/// Where blocks arrive in order.
pub(super) type Receiver = mpsc::Receiver<Shared>;

/// A way for blocks. It needs no bound of its own, since blocks are few.
pub(super) fn channel() -> (Sender<Shared>, Receiver) {
    mpsc::channel()
}

/// Memory for blocks.
pub(super) struct Blocks {
    home: Sender<Vec<u8>>,
    returned: mpsc::Receiver<Vec<u8>>,
    unmade: usize,
}

impl Blocks {
    /// Memory for a block in the hands of each worker and one waiting for it, and for those being filled and hashed.
    pub(super) fn new(workers: usize) -> Self {
        let (home, returned) = mpsc::channel();
        Self { home, returned, unmade: 2 * workers + 3 }
    }

    fn take(&mut self) -> Result<Vec<u8>, LayerError> {
        if let Ok(bytes) = self.returned.try_recv() {
            return Ok(bytes);
        }
        if self.unmade > 0 {
            self.unmade -= 1;
            return Ok(Vec::with_capacity(BLOCK));
        }
        self.returned.recv().map_err(|_| LayerError::Stopped)
    }
}

/// Takes the tar as it comes and hands it on as blocks.
pub(super) struct Cutter {
    blocks: Blocks,
    to: Vec<Sender<Shared>>,
    filling: Option<Block>,
}

impl Cutter {
    /// A cutter that hands every block to each of `to`.
    pub(super) fn new(blocks: Blocks, to: Vec<Sender<Shared>>) -> Self {
        Self { blocks, to, filling: None }
    }

    /// Adds bytes to the tar.
    pub(super) fn put(&mut self, mut bytes: &[u8]) -> Result<(), LayerError> {
        while !bytes.is_empty() {
            self.fill(|block, room| {
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                block.extend_from_slice(now);
                bytes = later;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Lets `add` add bytes to a block that has room for so many.
    pub(super) fn fill<T>(&mut self, add: impl FnOnce(&mut Vec<u8>, usize) -> Result<T, LayerError>) -> Result<T, LayerError> {
        let mut block = match self.filling.take() {
            Some(block) => block,
            None => self.start()?,
        };
        let room = BLOCK - block.bytes.len();
        let added = add(&mut block.bytes, room)?;
        if block.bytes.len() == BLOCK {
            self.hand_on(block)?;
        } else {
            self.filling = Some(block);
        }
        Ok(added)
    }

    /// Hands on the last block.
    pub(super) fn finish(mut self) -> Result<(), LayerError> {
        match self.filling.take() {
            Some(block) => self.hand_on(block),
            None => Ok(()),
        }
    }

    fn start(&mut self) -> Result<Block, LayerError> {
        let mut bytes = self.blocks.take()?;
        bytes.clear();
        Ok(Block { bytes, home: self.blocks.home.clone() })
    }

    fn hand_on(&self, block: Block) -> Result<(), LayerError> {
        let block = Arc::new(block);
        for to in &self.to {
            to.send(Arc::clone(&block)).map_err(|_| LayerError::Stopped)?;
        }
        Ok(())
    }
}

impl Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_one_size_however_the_bytes_come() {
        let tar: Vec<u8> = (0..2 * BLOCK + 77).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for step in [1000, BLOCK, BLOCK + 1, tar.len()] {
            let (to, blocks) = channel();
            let mut cutter = Cutter::new(Blocks::new(1), vec![to]);
            tar.chunks(step).for_each(|bytes| cutter.put(bytes).unwrap());
            cutter.finish().unwrap();
            let blocks: Vec<Shared> = blocks.iter().collect();
            assert_eq!(blocks.iter().map(|block| block.data().len()).collect::<Vec<_>>(), [BLOCK, BLOCK, 77]);
            assert_eq!(blocks.iter().flat_map(|block| block.data().to_vec()).collect::<Vec<u8>>(), tar);
        }
    }

    #[test]
    fn a_reader_stops_when_nobody_takes_its_blocks() {
        let (to, blocks) = channel();
        drop(blocks);
        let mut cutter = Cutter::new(Blocks::new(1), vec![to]);
        assert!(matches!(cutter.put(&vec![0; BLOCK]), Err(LayerError::Stopped)));
    }
}
