//! A plugin behind a C interface. Hosts load the library, compare the version, then call the rest.

use std::{
    ffi::{CStr, c_char},
    slice,
};

/// Raised whenever a function changes its meaning or its signature.
pub const ABI_VERSION: u32 = 1;

const NAME: &CStr = c"{{name}}";

/// What can be wrong with a call. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Failure {
    /// A pointer is null.
    Null = -1,
    /// The factor is negative, infinite or not a number.
    Factor = -2,
}

/// The version of this interface.
#[unsafe(no_mangle)]
pub extern "C" fn {{snake}}_abi_version() -> u32 {
    ABI_VERSION
}

/// The plugin's name, ending with NUL, valid as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn {{snake}}_name() -> *const c_char {
    NAME.as_ptr()
}

/// Scales `length` bytes at `pixels` in place, and returns 0 or a negative [`Failure`].
///
/// # Safety
/// `pixels` is null or points to `length` bytes that only this call reads and writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn {{snake}}_scale(pixels: *mut u8, length: usize, factor: f32) -> i32 {
    if pixels.is_null() {
        return Failure::Null as i32;
    }
    // SAFETY: the caller promises `length` bytes, and that nobody else touches them.
    match scale(unsafe { slice::from_raw_parts_mut(pixels, length) }, factor) {
        Ok(()) => 0,
        Err(failure) => failure as i32,
    }
}

/// Multiplies every byte, rounded, at most 255.
///
/// # Errors
/// When the factor is negative, infinite or not a number.
pub fn scale(pixels: &mut [u8], factor: f32) -> Result<(), Failure> {
    if !factor.is_finite() || factor < 0.0 {
        return Err(Failure::Factor);
    }
    for pixel in pixels {
        *pixel = scaled(*pixel, factor);
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, which is what is wanted"
)]
fn scaled(pixel: u8, factor: f32) -> u8 {
    (f32::from(pixel) * factor).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_scaled_rounded_and_capped() {
        let mut pixels = [0, 3, 200];
        // SAFETY: the array is ours.
        let status = unsafe { {{snake}}_scale(pixels.as_mut_ptr(), pixels.len(), 1.5) };
        assert_eq!((status, pixels), (0, [0, 5, 255]));
    }

    #[test]
    fn bad_calls_are_told_apart() {
        let mut pixels = [7];
        for factor in [f32::NAN, f32::INFINITY, -1.0] {
            // SAFETY: the array is ours.
            let status = unsafe { {{snake}}_scale(pixels.as_mut_ptr(), 1, factor) };
            assert_eq!((status, pixels), (-2, [7]));
        }
        // SAFETY: null is allowed.
        assert_eq!(
            unsafe { {{snake}}_scale(std::ptr::null_mut(), 9, 1.0) },
            -1
        );
    }

    #[test]
    fn the_name_is_a_c_string() {
        // SAFETY: the name is static and ends with NUL.
        let name = unsafe { CStr::from_ptr({{snake}}_name()) };
        assert_eq!(name.to_str(), Ok("{{name}}"));
        assert_eq!({{snake}}_abi_version(), ABI_VERSION);
    }
}
