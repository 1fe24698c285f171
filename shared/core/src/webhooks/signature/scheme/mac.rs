//! Message authentication codes, and their spelling in header fields. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

use crate::key::encode::hex;
use crate::webhooks::signature::scheme::{Encoding, Hash, Scheme};

impl Hash {
    /// The HMAC (RFC 2104) of two texts in a row.
    pub(crate) fn mac(&self, key: &[u8], before: &str, content: &[u8]) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(key: &[u8], before: &str, content: &[u8]) -> Vec<u8> {
            let mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
            mac.chain_update(before).chain_update(content).finalize().into_bytes().to_vec()
        }
        match self {
            Hash::Sha1 => of::<Hmac<Sha1>>(key, before, content),
            Hash::Sha256 => of::<Hmac<Sha256>>(key, before, content),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }
}

impl Encoding {
    /// The code as text.
    pub(crate) fn write(&self, bytes: &[u8]) -> String {
        match self {
            Encoding::Hex => hex(bytes),
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

impl Scheme {
    /// Length of a signature in its header field, in bytes.
    pub(crate) fn signature_bytes(&self) -> usize {
        self.encoding.write(&vec![0; self.hash.bytes()]).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub's own example. GitHub never sends such a body.
    #[test]
    fn hashes_are_as_github_has_them() {
        let mac = Hash::Sha256.mac(b"It's a Secret to Everybody", "", b"Hello, World!");
        assert_eq!(hex(&mac), "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }
}
