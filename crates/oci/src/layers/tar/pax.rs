//! PAX records (POSIX.1-2017, `pax`, "pax Extended Header"): `length key=value\n`, repeated.
//!
//! Threats: a record that one reader takes and another drops, so that they see different entries. Lengths must be exact,
//! a key that matters may occur once, sparse maps are refused, and a global header may not say what only an entry may.

use super::TarError;

/// What the records of one header change about its entry.
#[derive(Default, Debug)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    /// Number of extended attributes, all of which are dropped.
    pub(super) xattrs: u64,
}

/// Reads the body of an `x` header.
pub(super) fn local(body: &[u8], offset: u64) -> Result<Records, TarError> {
    let bad = |what| TarError::Malformed { offset, what };
    let mut records = Records::default();
    for record in split(body) {
        let (key, value) = record.ok_or_else(|| bad("a PAX record does not follow the format"))?;
        let fresh = match key {
            b"path" => records.path.replace(value.to_vec()).is_none(),
            b"linkpath" => records.link.replace(value.to_vec()).is_none(),
            b"size" => {
                let size = decimal(value).ok_or_else(|| bad("its PAX size is not a number"))?;
                records.size.replace(size).is_none()
            }
            b"mtime" => {
                let time = seconds(value).ok_or_else(|| bad("its PAX time is not a number"))?;
                records.mtime.replace(time).is_none()
            }
            b"uid" | b"gid" => {
                let id = decimal(value).ok_or_else(|| bad("its PAX owner is not a number"))?;
                let field = if key == b"uid" { &mut records.uid } else { &mut records.gid };
                field.replace(id).is_none()
            }
            _ if key.starts_with(b"GNU.sparse.") => return Err(bad("it is a sparse file")),
            _ => {
                records.xattrs += u64::from(key.starts_with(b"SCHILY.xattr.") || key.starts_with(b"LIBARCHIVE.xattr."));
                true
            }
        };
        if !fresh {
            return Err(bad("a PAX header says the same thing twice"));
        }
    }
    Ok(records)
}

/// Checks the body of a `g` header. Nothing in it is used: comments are what honest ones hold.
pub(super) fn global(body: &[u8], offset: u64) -> Result<(), TarError> {
    let bad = |what| TarError::Malformed { offset, what };
    for record in split(body) {
        let (key, _) = record.ok_or_else(|| bad("a PAX record does not follow the format"))?;
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(bad("a global PAX header sets what only an entry may set"));
        }
    }
    Ok(())
}

/// Splits a body into key and value; `None` ends it at the first broken record.
fn split(mut body: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let record = first(body);
        body = record.map_or(&[], |(_, _, rest)| rest);
        Some(record.map(|(key, value, _)| (key, value)))
    })
}

fn first(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&body[..space])?).ok()?;
    if length <= space + 1 || length > body.len() {
        return None;
    }
    let (record, rest) = body.split_at(length);
    let record = record[space + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

/// Decimal digits, at most 63 bits.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(value).is_ok().then_some(value)
}

/// Seconds since 1970 with an optional fraction, possibly negative; digits beyond nanoseconds are cut.
fn seconds(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = dot.map_or((text, &b""[..]), |dot| (&text[..dot], &text[dot + 1..]));
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i64::try_from(decimal(whole)?).ok()?;
    let digits = (0..9).map(|place| fraction.get(place).map_or(0, |digit| u32::from(digit - b'0')));
    let nanos = digits.fold(0, |value, digit| value * 10 + digit);
    Some(match (negative, nanos) {
        (false, _) => (whole, nanos),
        (true, 0) => (-whole, 0),
        (true, _) => (-whole - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_stated_length() {
        let records = local(b"12 path=a\nb\n11 size=07\n23 mtime=-1.5000000001\n28 SCHILY.xattr.security.x=\n", 0).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!((records.size, records.mtime, records.xattrs), (Some(7), Some((-2, 500_000_000)), 1));
    }

    #[test]
    fn a_record_that_readers_could_disagree_about_is_refused() {
        for bad in [
            &b"11 size=07"[..],
            b"99 size=07\n",
            b"3 \n",
            b"10 size=07\n",
            b"8 =abc\n\n",
            b"010size=07\n",
            b"10 size=-1\n",
            b"9 size=\n",
            b"10 size=1\n10 size=1\n",
            b"24 GNU.sparse.realsize=1\n",
            b"27 size=99999999999999999999\n",
        ] {
            assert!(local(bad, 0).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(global(b"14 comment=abc\n", 0).is_err());
        assert!(global(b"15 comment=abc\n", 0).is_ok());
        assert!(global(b"10 size=1\n", 0).is_err());
    }
}
