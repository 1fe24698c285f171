//! Stored bodies that are too large to be loaded for each visitor: passed on as they come from the store, and checked
//! on the way.

use crate::process::Process;
use crate::visit::wait::Visits;
use std::mem::take;
use std::sync::Arc;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::base::budget::Part;
use crate::base::clock::Clock;
use crate::base::log_limits::Line;
use crate::key::encode::hex;
use crate::look::body::Body;
use crate::ports::bodies::{Chunks, Opened};
use crate::ports::error::StoreError;
use crate::ports::stores::Stores;
use crate::record::content::WINDOW_BITS_MAX;
use crate::record::page_record::{BodyRef, Coding, Ticket};
use crate::record::reason::Reason;
use crate::site::route::Resolved;

/// As much is decompressed at a time, however little it is made of.
const PART_BYTES: usize = 64 << 10;

/// A stored body that is open, for one visitor.
pub(crate) struct BodyStream<C> {
    pub(crate) body: BodyRef,
    pub(crate) opened: Opened<C>,
    /// The coding it is sent in: the stored one, or none.
    pub(crate) coding: Coding,
    /// The memory that it takes.
    pub(crate) part: Part,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a body takes on its way besides the decoder: a part that is read, one that is held back, one that waits to be
/// sent, and what the connection has of it.
const BUFFERS_BYTES: u64 = 6 * PART_BYTES as u64;

/// What a decoder takes besides its window: tables and room for what it looks up.
const DECODER_BYTES: u64 = 512 << 10;

/// The memory that one visitor takes at first to whom a body is passed on in a coding.
pub(crate) fn streaming_bytes(body: &BodyRef, coding: Coding) -> u64 {
    if coding == body.coding { BUFFERS_BYTES } else { decoding_bytes(1 << WINDOW_BITS_MAX) }
}

fn decoding_bytes(window_bytes: u64) -> u64 {
    BUFFERS_BYTES + DECODER_BYTES + window_bytes
}

/// The window that a brotli stream asks its decoder for, by its first byte (RFC 7932 section 9.1).
fn window_bytes(first: u8) -> u64 {
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, n) => 8 + n,
        (_, n, _) => 17 + n,
    };
    1 << bits
}

/// Why a body is not passed on to its end.
enum Stop {
    /// The visitor has gone.
    Unheard,
    Store(StoreError),
    Damaged(&'static str),
}

/// Passes a body on. The last part is held back until everything before it has been checked, so that a damaged body
/// never ends as a whole one does: its page is rendered again, and then the answer breaks off.
pub(crate) fn stream_body<S: Stores, C: Chunks>(
    process: &Arc<Process<S>>,
    visits: &Arc<Visits<S>>,
    page: &Resolved,
    generation: Ticket,
    passing: BodyStream<C>,
) -> Body {
    let (say, parts) = mpsc::channel(1);
    let (process, visits, page) = (process.clone(), visits.clone(), page.clone());
    process.tasks.clone().spawn(async move {
        let sha256 = passing.body.sha256.clone();
        let error = match passing.on_to(&say).await {
            Ok(()) | Err(Stop::Unheard) => return,
            Err(Stop::Store(error)) => {
                process.log(Line::BadBody, |left_out| {
                    tracing::error!(page = %page.key.path(), sha256, left_out, "an answer broke off, because a stored body cannot be read on: {error}");
                });
                error
            }
            Err(Stop::Damaged(how)) => {
                process.log(Line::BadBody, |left_out| {
                    tracing::error!(page = %page.key.path(), sha256, left_out, "an answer breaks off, because a stored body {how}; the page is rendered again");
                });
                // Before the visitor can come again, and before a function is frozen. What becomes of it is logged.
                let _ = visits.render_missing(&page, Reason::First, generation).await;
                StoreError::Refused(format!("a stored body {how}"))
            }
        };
        let _ = say.send(Err(error)).await;
    });
    Body::Stream(parts)
}

impl<C: Chunks> BodyStream<C> {
    async fn on_to(self, say: &mpsc::Sender<Result<Bytes, StoreError>>) -> Result<(), Stop> {
        let Self { body, opened: Opened { bytes: _, mut chunks }, coding, mut part, clock } = self;
        let (mut hash, mut stored) = (Sha256::new(), 0);
        let mut decoder = (coding != body.coding).then(Decoder::default);
        let mut out = Outgoing { say, held: Bytes::new(), left: body.bytes_in(coding) };
        while let Some(chunk) = chunks.next().await.map_err(Stop::Store)? {
            hash.update(&chunk);
            stored += chunk.len() as u64;
            match &mut decoder {
                None => out.hold(chunk).await?,
                Some(decoder) => {
                    // Bodies of earlier versions ask for more than was taken.
                    let first = chunk.first().copied().filter(|_| stored == chunk.len() as u64);
                    let needed = first.map_or(0, |first| decoding_bytes(window_bytes(first)));
                    if !part.grow(needed, &*clock).await {
                        let used_up = "PERENNIAL_STREAM_MEMORY_BYTES is used up";
                        return Err(Stop::Store(StoreError::Refused(used_up.into())));
                    }
                    let mut rest = &chunk[..];
                    while let Some(part) = decoder.next(&mut rest)? {
                        out.hold(part).await?;
                    }
                }
            }
        }
        if stored != body.stored_bytes || hex(&hash.finalize()) != body.sha256 {
            return Err(Stop::Damaged("is not what its name says"));
        }
        out.end().await
    }
}

/// Decompresses brotli that comes in pieces. The library's own readers and writers either ask for more of it themselves,
/// or make all at once of what they are given.
struct Decoder(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>);

impl Default for Decoder {
    fn default() -> Self {
        let memory = StandardAlloc::default;
        Self(Box::new(BrotliState::new(memory(), memory(), memory())))
    }
}

impl Decoder {
    /// The next part of what this piece gives; none once it has been used up.
    fn next(&mut self, piece: &mut &[u8]) -> Result<Option<Bytes>, Stop> {
        let mut part = vec![0; PART_BYTES];
        let (mut left, mut used) = (piece.len(), 0);
        let (mut room, mut made, mut total) = (PART_BYTES, 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut used,
            piece,
            &mut room,
            &mut made,
            &mut part,
            &mut total,
            &mut self.0,
        );
        *piece = &piece[used..];
        if matches!(result, BrotliResult::ResultFailure) {
            return Err(Stop::Damaged("is no brotli"));
        }
        part.truncate(made);
        Ok((made > 0).then(|| part.into()))
    }
}

struct Outgoing<'a> {
    say: &'a mpsc::Sender<Result<Bytes, StoreError>>,
    held: Bytes,
    left: u64,
}

impl Outgoing<'_> {
    /// Sends what was held, and holds these.
    async fn hold(&mut self, bytes: Bytes) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or(Stop::Damaged("is longer than its record says"))?;
        let held = std::mem::replace(&mut self.held, bytes);
        self.send(held).await
    }

    async fn end(mut self) -> Result<(), Stop> {
        if self.left > 0 {
            return Err(Stop::Damaged("is shorter than its record says"));
        }
        let held = take(&mut self.held);
        self.send(held).await
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.say.send(Ok(bytes)).await.map_err(|_| Stop::Unheard)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::base::budget::Budget;
    use crate::base::clock::SystemClock;
    use crate::record::content::Content;

    struct Given(VecDeque<Result<Bytes, StoreError>>);

    impl Chunks for Given {
        async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
            self.0.pop_front().transpose()
        }
    }

    /// What a visitor gets in a coding of a body that comes in chunks of some length, and how it ends.
    async fn passed(
        body: &BodyRef,
        stored: &[u8],
        coding: Coding,
        chunk: usize,
    ) -> (Vec<u8>, Result<(), Stop>) {
        let chunks = Given(stored.chunks(chunk).map(|bytes| Ok(Bytes::copy_from_slice(bytes))).collect());
        let opened = Opened { bytes: stored.len() as u64, chunks };
        let (say, mut parts) = mpsc::channel::<Result<Bytes, StoreError>>(1);
        let passing = BodyStream {
            body: body.clone(),
            opened,
            coding,
            part: Budget::new(0).try_take(0).unwrap(),
            clock: Arc::new(SystemClock),
        };
        let hear = async {
            let mut heard = Vec::new();
            while let Some(part) = parts.recv().await {
                heard.extend(part.expect("errors are told by who passes it on"));
            }
            heard
        };
        // The sender goes with the passing on: that ends what is heard.
        let pass = async move { passing.on_to(&say).await };
        let (ended, heard) = tokio::join!(pass, hear);
        (heard, ended)
    }

    #[test]
    fn the_window_of_a_stream_is_known_from_its_first_byte() {
        for bits in 10..=24 {
            let params = brotli::enc::BrotliEncoderParams { quality: 5, lgwin: bits, ..Default::default() };
            let mut out = Vec::new();
            brotli::BrotliCompress(&mut &vec![b'x'; 100_000][..], &mut out, &params).unwrap();
            // The encoder asks for no more than it needs.
            let least = 1 << bits.min(17);
            let window = window_bytes(out[0]);
            assert!((least..=1 << bits.max(16)).contains(&window), "{bits}: {window}");
        }
        assert_eq!(window_bytes(0x0b), 1 << 22, "as RFC 7932 has it: 1011");
        assert_eq!(window_bytes(0x71), 1 << 15, "1110001");
        let text: String = (0..400_000).map(|n| format!("{n:x} ")).collect();
        let content = Content::render(text);
        assert!(window_bytes(content.stored()[0]) <= 1 << WINDOW_BITS_MAX);
    }

    fn content() -> (String, Content) {
        let text: String =
            (0..60_000_u64).map(|n| format!("{:x} ", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        let content = Content::render(text.clone());
        assert!(content.body().coding == Coding::Br && content.stored().len() > 300_000);
        (text, content)
    }

    #[tokio::test]
    async fn all_of_it_comes_in_either_coding() {
        let (text, content) = content();
        for chunk in [1000, 65_536, usize::MAX] {
            let (heard, ended) = passed(content.body(), content.stored(), Coding::Identity, chunk).await;
            assert!(ended.is_ok() && heard == text.as_bytes(), "{chunk}");
            let (heard, ended) = passed(content.body(), content.stored(), Coding::Br, chunk).await;
            assert!(ended.is_ok() && heard == *content.stored(), "{chunk}");
        }
    }

    /// Whoever counts bytes notices: fewer come than were announced.
    #[tokio::test]
    async fn damage_never_ends_as_a_whole_body_does() {
        let (text, content) = content();
        let stored = content.stored().to_vec();
        let (length, damaged_at) = (stored.len(), |at: usize| {
            let mut bytes = content.stored().to_vec();
            bytes[at] ^= 0x10;
            bytes
        });
        let cut = stored[..length - 1].to_vec();
        let longer = [&stored[..], b"x"].concat();
        for bytes in [damaged_at(0), damaged_at(length / 2), damaged_at(length - 1), cut, longer, Vec::new()]
        {
            for (coding, announced) in [(Coding::Br, length), (Coding::Identity, text.len())] {
                for chunk in [1000, 65_536, usize::MAX] {
                    let (heard, ended) = passed(content.body(), &bytes, coding, chunk).await;
                    assert!(matches!(ended, Err(Stop::Damaged(_))), "{coding:?}, {chunk}");
                    assert!(heard.len() < announced, "{coding:?}, {chunk}: {} of {announced}", heard.len());
                }
            }
        }
    }

    #[tokio::test]
    async fn a_record_that_lies_about_a_length_is_found_out() {
        let (text, content) = content();
        for bytes in [text.len() as u64 - 1, text.len() as u64 + 1] {
            let body = BodyRef { bytes, ..content.body().clone() };
            let (heard, ended) = passed(&body, content.stored(), Coding::Identity, 65_536).await;
            assert!(matches!(ended, Err(Stop::Damaged(_))) && (heard.len() as u64) < bytes);
        }
    }

    #[tokio::test]
    async fn little_of_it_is_in_memory_at_once() {
        let content = Content::render("0123456789".repeat(1 << 20));
        let (say, mut parts) = mpsc::channel::<Result<Bytes, StoreError>>(1);
        let chunks = Given([Ok(content.stored().clone())].into());
        let opened = Opened { bytes: content.body().stored_bytes, chunks };
        let part = Budget::new(0).try_take(0).unwrap();
        let passing = BodyStream {
            body: content.body().clone(),
            opened,
            coding: Coding::Identity,
            part,
            clock: Arc::new(SystemClock),
        };
        let task = tokio::spawn(async move { passing.on_to(&say).await.is_ok() });
        let (mut total, mut largest) = (0, 0);
        while let Some(part) = parts.recv().await {
            let length = part.expect("a part").len();
            (total, largest) = (total + length, largest.max(length));
        }
        assert!(task.await.unwrap());
        assert_eq!(total, 10 << 20);
        assert!(largest <= PART_BYTES, "{largest} bytes at once");
    }
}
