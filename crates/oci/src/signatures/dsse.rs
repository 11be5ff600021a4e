//! Dead Simple Signing Envelope (<https://github.com/secure-systems-lab/dsse>, `protocol.md`, version 1.0).

/// What is signed: the pre-authentication encoding of a payload and its type.
pub fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_of_the_specification_is_encoded_as_there() {
        let encoded = super::encoded("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
