//! Refuses heads of requests that a proxy may read differently than this server (request smuggling). Pure.
//!
//! The HTTP library is lenient where its standard lets it be: it takes a bare line feed for the end of a line (RFC 9112
//! section 2.2), drops a `Content-Length` beside `Transfer-Encoding`, and takes two lengths that are equal. A proxy in
//! front may be lenient in another way, and then a request hides in what it took for the body of one (RFC 9112 section
//! 11.2). Nobody needs such a request, so it is broken on its way in: the library answers it with 400 and closes.

use memchr::memchr;

/// What stands in the place of the byte at which a head is refused: no head may hold it.
const REFUSED: u8 = 0;

/// The beginnings of the fields that say where a body ends.
const FRAMING: [&[u8]; 2] = [b"content-length:", b"transfer-encoding:"];

/// Bytes at the start of a line that decide whether its field is one of [`FRAMING`].
const NAME_BYTES: usize = 18;

/// Follows the heads of one connection's requests, however they are cut into pieces.
#[derive(Default)]
pub(crate) struct Heads {
    /// The beginning of the line that has not ended.
    name: [u8; NAME_BYTES],
    line_bytes: usize,
    last: u8,
    in_head: bool,
    framings: usize,
    /// How much there is of the head that has not ended.
    head_bytes: usize,
    /// A request with a body is its connection's last: what follows its head is no head.
    has_ended: bool,
}

impl Heads {
    /// Looks at the bytes that came, and breaks the head that is to be refused.
    pub(crate) fn look(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while !self.has_ended && at < bytes.len() {
            let end = memchr(b'\n', &bytes[at..]).map(|n| at + n);
            self.note(&bytes[at..end.unwrap_or(bytes.len())]);
            let Some(end) = end else { break };
            if !self.end_line() {
                bytes[end] = REFUSED;
                self.has_ended = true;
            }
            at = end + 1;
        }
    }

    /// How much has come of a head that has not ended.
    pub(crate) fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    fn note(&mut self, part: &[u8]) {
        let known = self.line_bytes.min(NAME_BYTES);
        let more = part.len().min(NAME_BYTES - known);
        self.name[known..known + more].copy_from_slice(&part[..more]);
        self.line_bytes += part.len();
        self.head_bytes += part.len();
        self.last = part.last().copied().unwrap_or(self.last);
    }

    /// Whether the line that ends here may.
    fn end_line(&mut self) -> bool {
        let begun = &self.name[..self.line_bytes.min(NAME_BYTES)];
        if self.line_bytes == 0 || self.last != b'\r' {
            return false;
        }
        if begun == b"\r" {
            // The library skips empty lines before a request.
            self.has_ended = self.in_head && self.framings > 0;
            self.in_head = false;
            self.head_bytes = 0;
        } else {
            self.in_head = true;
            let is =
                |field: &&[u8]| begun.get(..field.len()).is_some_and(|name| name.eq_ignore_ascii_case(field));
            self.framings += usize::from(FRAMING.iter().any(is));
        }
        self.line_bytes = 0;
        self.framings < 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library gets to read, for every way to cut the bytes in two.
    fn passed(sent: &str) -> String {
        let mut all: Vec<_> = (0..=sent.len())
            .map(|cut| {
                let (mut heads, mut bytes) = (Heads::default(), sent.as_bytes().to_vec());
                let (first, second) = bytes.split_at_mut(cut);
                heads.look(first);
                heads.look(second);
                String::from_utf8(bytes).unwrap()
            })
            .collect();
        all.dedup();
        assert_eq!(all.len(), 1, "it matters how the bytes are cut: {all:?}");
        all.remove(0)
    }

    #[test]
    fn what_nobody_can_misread_is_passed_on() {
        for sent in [
            "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nbGET / HTTP/1.1\n\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\na\nb\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length-of: 1\r\nx-content-length: 1\r\ncontent-length: 1\r\n\r\n",
            "GET /transfer-encoding:content-length: HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(passed(sent), sent);
        }
    }

    #[test]
    fn a_heads_bytes_are_counted_until_it_ends() {
        let mut heads = Heads::default();
        for (sent, bytes) in [
            ("GET / HTTP/1.1\r", 15),
            ("\nhost: x\r\n", 23),
            ("\r\n", 0),
            ("\r\n", 0),
            ("POST / HTTP/1.1\r\ncontent-length: 9\r\n", 34),
            ("\r\nno head ", 0),
        ] {
            heads.look(&mut sent.as_bytes().to_vec());
            assert_eq!(heads.head_bytes(), bytes, "{sent:?}");
        }
    }

    #[test]
    fn what_may_be_misread_is_broken() {
        for (sent, read) in [
            ("GET / HTTP/1.1\nhost: x\n\n", "GET / HTTP/1.1\0host: x\n\n"),
            ("GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", "GET / HTTP/1.1\r\na: b\0c: d\r\n\r\n"),
            ("GET / HTTP/1.1\r\na: b\r\n\nGET", "GET / HTTP/1.1\r\na: b\r\n\0GET"),
            ("\nGET / HTTP/1.1\r\n\r\n", "\0GET / HTTP/1.1\r\n\r\n"),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n", "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\0"),
        ] {
            assert_eq!(passed(sent), read);
        }
        for two in [
            ["Content-Length: 4", "Transfer-Encoding: chunked"],
            ["transfer-encoding: chunked", "CONTENT-LENGTH: 4"],
            ["content-length: 4", "content-length: 4"],
            ["transfer-encoding: chunked", "transfer-encoding: identity"],
        ] {
            let sent = format!("POST / HTTP/1.1\r\n{}\r\nhost: x\r\n{}\r\n\r\n", two[0], two[1]);
            let read = format!("POST / HTTP/1.1\r\n{}\r\nhost: x\r\n{}\r\0\r\n", two[0], two[1]);
            assert_eq!(passed(&sent), read);
        }
    }
}
