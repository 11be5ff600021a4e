//! A module that counts words. The host writes a text into a buffer of ours, then asks for the count.

use std::cell::RefCell;

thread_local! {
    // A module without threads has one of these; host and module see it at the same address until the next reserve.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for an input of `length` bytes, all zero, and returns its address; null when there is no room.
///
/// Addresses returned before are void.
#[unsafe(no_mangle)]
pub extern "C" fn buffer_reserve(length: usize) -> *mut u8 {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        if buffer.try_reserve_exact(length).is_err() {
            return std::ptr::null_mut();
        }
        buffer.resize(length, 0);
        buffer.as_mut_ptr()
    })
}

/// The number of words in the buffer, or -1 when it does not hold UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn count_words() -> i32 {
    BUFFER.with_borrow(|buffer| match std::str::from_utf8(buffer) {
        Ok(text) => words(text),
        Err(_) => -1,
    })
}

/// The number of words of a text, as far as the result type can count.
#[must_use]
pub fn words(text: &str) -> i32 {
    text.split_whitespace()
        .count()
        .try_into()
        .unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does what a host does.
    fn host_counts(input: &[u8]) -> i32 {
        let address = buffer_reserve(input.len());
        assert!(!address.is_null());
        // SAFETY: the module has just made room for this many bytes at that address.
        unsafe { address.copy_from_nonoverlapping(input.as_ptr(), input.len()) };
        count_words()
    }

    #[test]
    fn words_are_counted_whatever_separates_them() {
        assert_eq!(host_counts("one  two\nthrée".as_bytes()), 3);
        assert_eq!(host_counts(b"  "), 0);
        assert_eq!(host_counts(b""), 0);
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_refused() {
        assert_eq!(host_counts(b"\xff\xfe"), -1);
    }

    #[test]
    fn an_impossible_length_gives_no_address() {
        assert!(buffer_reserve(usize::MAX).is_null());
    }
}
