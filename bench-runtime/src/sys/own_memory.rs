//! Reads memory of this process through the kernel: memory that other threads write or free causes
//! no data race and no fault.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Ranges that are read together, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    places: Vec<Place>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    address: usize,
    bytes: usize,
    /// The index of its first byte in [`Reading::bytes`].
    at: usize,
    /// False if a part of the range is not mapped.
    is_read: bool,
}

/// The most ranges that one system call reads: `IOV_MAX`.
const PLACES: usize = 1024;

impl Reading {
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.bytes.clear();
    }

    pub(crate) fn add(&mut self, address: usize, bytes: usize) -> usize {
        let last = self.places.last();
        self.places.push(Place {
            address,
            bytes,
            at: last.map_or(0, |last| last.at + last.bytes),
            is_read: false,
        });
        self.places.len() - 1
    }

    /// `None` if a part of the range is not mapped.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let place = self.places.get(index).filter(|place| place.is_read)?;
        self.bytes.get(place.at..place.at + place.bytes)
    }

    /// As [`Self::get`], for a range of this many words.
    pub(crate) fn words<const COUNT: usize>(&self, index: usize) -> Option<[usize; COUNT]> {
        let (words, remaining) = self.get(index)?.as_chunks();
        debug_assert!(words.len() == COUNT && remaining.is_empty());
        let mut words = words.iter().map(|&word| usize::from_ne_bytes(word));
        Some([(); COUNT].map(|()| words.next().unwrap_or_default()))
    }

    pub(crate) fn read(&mut self) {
        self.read_by(Method::Call);
    }

    fn read_by(&mut self, mut method: Method) {
        let last = self.places.last();
        self.bytes
            .resize(last.map_or(0, |last| last.at + last.bytes), 0);
        let mut remaining = self.places.as_mut_slice();
        while !remaining.is_empty() {
            let batch = remaining.len().min(PLACES);
            let mut read = method.read(&remaining[..batch], &mut self.bytes);
            // A range that is not mapped ends the call; the next call begins after it.
            let mut done = 0;
            for place in &mut remaining[..batch] {
                done += 1;
                place.is_read = read >= place.bytes;
                if !place.is_read {
                    break;
                }
                read -= place.bytes;
            }
            remaining = &mut remaining[done..];
        }
    }
}

#[derive(Debug)]
enum Method {
    /// `process_vm_readv(2)`.
    Call,
    /// `/proc/self/mem`, if a filter of system calls forbids the call, or an emulator lacks it.
    File(io::Result<File>),
}

impl Method {
    fn file() -> Self {
        Self::File(File::open("/proc/self/mem"))
    }

    /// Reads up to the first range that is not mapped; returns the number of bytes.
    fn read(&mut self, places: &[Place], into: &mut [u8]) -> usize {
        match self {
            Self::Call => match read_by_call(places, into) {
                Ok(bytes) => bytes,
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => 0,
                Err(_) => {
                    *self = Self::file();
                    self.read(places, into)
                }
            },
            Self::File(Ok(file)) => {
                let is_there = |place: &&Place| {
                    let into = &mut into[place.at..place.at + place.bytes];
                    file.read_exact_at(into, place.address as u64).is_ok()
                };
                let there = places.iter().take_while(is_there);
                there.map(|place| place.bytes).sum()
            }
            Self::File(Err(_)) => 0,
        }
    }
}

fn read_by_call(places: &[Place], into: &mut [u8]) -> io::Result<usize> {
    let remote: Vec<libc::iovec> = places
        .iter()
        .map(|place| libc::iovec {
            iov_base: place.address as *mut _,
            iov_len: place.bytes,
        })
        .collect();
    let bytes = places.iter().map(|place| place.bytes).sum();
    let into = &mut into[places[0].at..][..bytes];
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes only into `into`, which is ours, and checks what it reads.
    let read = unsafe {
        let count = remote.len() as libc::c_ulong;
        libc::process_vm_readv(
            libc::getpid(),
            &raw const local,
            1,
            remote.as_ptr(),
            count,
            0,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn ranges_that_exist_are_read_and_the_others_are_not(method: Method) {
        let (words, text) = ([1usize, 2, 3], *b"some text");
        let mut reading = Reading::default();
        let nowhere = reading.add(0, 8);
        let all_words = reading.add(words.as_ptr() as usize, 24);
        let nothing = reading.add(text.as_ptr() as usize, 0);
        let nowhere_either = reading.add(8, 1);
        let all_text = reading.add(text.as_ptr() as usize, 9);
        let word = reading.add(&raw const words[2] as usize, 8);
        reading.read_by(method);
        assert_eq!(reading.get(nowhere), None);
        assert_eq!(
            reading.get(all_words).unwrap(),
            words.map(usize::to_ne_bytes).as_flattened()
        );
        assert_eq!(reading.get(nothing), Some([].as_slice()));
        assert_eq!(reading.get(nowhere_either), None);
        assert_eq!(reading.get(all_text).unwrap(), text);
        assert_eq!(reading.words(word), Some([3]));
        assert_eq!(reading.words(all_words), Some(words));
    }

    #[test]
    fn ranges_that_exist_are_read_by_the_call() {
        ranges_that_exist_are_read_and_the_others_are_not(Method::Call);
    }

    #[test]
    fn ranges_that_exist_are_read_by_the_file() {
        ranges_that_exist_are_read_and_the_others_are_not(Method::file());
    }

    #[test]
    fn more_places_than_one_call_takes_are_read() {
        let words: Vec<usize> = (0..3 * PLACES).collect();
        let mut reading = Reading::default();
        for word in &words {
            reading.add(std::ptr::from_ref(word) as usize, size_of::<usize>());
        }
        reading.read();
        for (index, &word) in words.iter().enumerate() {
            assert_eq!(reading.words(index), Some([word]));
        }
    }
}
