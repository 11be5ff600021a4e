//! Signatures of requests: AWS Signature Version 4, in the `Authorization` header ("Authenticating Requests: Using the
//! Authorization Header", Amazon S3 API Reference), which every store with the S3 API understands.
//!
//! The crate `rusty-s3` was looked at: it signs the same in URLs, so that each holds a secret, and brings the parsers of URLs
//! and XML and a calendar along.

use ring::hmac;
use zeroize::Zeroizing;

use crate::stores::registry::Url;
use crate::values::digest::{Digest, to_hex};

/// What stands for a payload whose hash is not known.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who signs, and for what region.
pub(super) struct Signer {
    pub(super) key: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) token: Option<String>,
    pub(super) region: String,
}

impl Signer {
    /// The headers to send beside `headers`: with them, the request is signed as a whole. `payload` is the SHA-256 of what is
    /// sent, in hexadecimal digits; `time` is `YYYYMMDDTHHMMSSZ`.
    pub(super) fn sign(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&'static str, String)],
        payload: &str,
        time: &str,
    ) -> Vec<(&'static str, String)> {
        let mut added = vec![("x-amz-content-sha256", payload.to_owned()), ("x-amz-date", time.to_owned())];
        added.extend(self.token.iter().map(|token| ("x-amz-security-token", token.clone())));
        let mut signed: Vec<(String, &str)> = vec![("host".to_owned(), "")];
        signed.extend(headers.iter().chain(&added).map(|(name, value)| (name.to_ascii_lowercase(), value.trim())));
        signed.sort();
        let (host, names) = (url.authority(), signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";"));
        let lines = signed.iter().map(|(name, value)| format!("{name}:{}\n", if name == "host" { &host } else { *value }));
        let query = url.query().unwrap_or_default();
        let request = format!("{method}\n{}\n{query}\n{}\n{names}\n{payload}", url.path(), lines.collect::<String>());
        let day = time.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", Digest::of(request.as_bytes()).hex());
        let secret = Zeroizing::new(format!("AWS4{}", *self.secret));
        let derived = [day, &self.region, "s3", "aws4_request"];
        let key = derived.iter().fold(key_of(secret.as_bytes()), |key, part| key_of(hmac::sign(&key, part.as_bytes()).as_ref()));
        let signature = to_hex(hmac::sign(&key, text.as_bytes()).as_ref());
        added.push((
            "Authorization",
            format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.key),
        ));
        added
    }
}

fn key_of(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::percent::encoded;

    /// "Example: PUT Object" and "Example: GET Bucket (List Objects)" of the page.
    #[test]
    fn the_published_examples_come_out() {
        let signer = Signer {
            key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
            token: None,
            region: "us-east-1".to_owned(),
        };
        let time = "20130524T000000Z";
        let sign = |method, url: &str, headers: &[(&'static str, String)], payload: &[u8]| {
            let url = Url::parse(url).unwrap();
            let added = signer.sign(method, &url, headers, Digest::of(payload).hex(), time);
            added.into_iter().find(|(name, _)| *name == "Authorization").unwrap().1
        };
        let headers =
            [("Date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()), ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned())];
        let path = encoded("/test$file.text", "/");
        let put = sign("PUT", &format!("https://examplebucket.s3.amazonaws.com{path}"), &headers, b"Welcome to Amazon S3.");
        assert!(put.ends_with("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"), "{put}");
        let list = sign("GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", &[], b"");
        assert!(list.ends_with("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"), "{list}");
    }
}
