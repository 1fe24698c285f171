//! Streams large stored bodies from the store to a visitor, and checks them on the way.

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
use crate::ports::error::{StoreError, StoreErrorKind};
use crate::ports::stores::Stores;
use crate::process::Process;
use crate::record::content::WINDOW_BITS_MAX;
use crate::record::page_record::{BodyRef, Coding, Ticket};
use crate::record::reason::Reason;
use crate::site::route::Resolved;
use crate::visit::wait::Visits;

/// The decoder makes parts of at most this size: a few compressed bytes may give any number of decoded ones.
const PART_BYTES: usize = 64 << 10;

/// A stored body that was opened for one visitor.
pub(crate) struct BodyStream<C> {
    pub(crate) body: BodyRef,
    pub(crate) opened: Opened<C>,
    /// The coding to send: the stored one, or identity.
    pub(crate) coding: Coding,
    /// The stream's memory.
    pub(crate) part: Part,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Memory of a stream besides the decoder: the part being read, the last part, the part that waits to be sent, and the
/// connection's buffers.
const BUFFERS_BYTES: u64 = 6 * PART_BYTES as u64;

/// Memory of a decoder besides its window: Huffman tables and context maps.
const DECODER_BYTES: u64 = 512 << 10;

/// The memory to reserve for a stream of this body in this coding.
pub(crate) fn streaming_bytes(body: &BodyRef, coding: Coding) -> u64 {
    if coding == body.coding { BUFFERS_BYTES } else { decoding_bytes(1 << WINDOW_BITS_MAX) }
}

fn decoding_bytes(window_bytes: u64) -> u64 {
    BUFFERS_BYTES + DECODER_BYTES + window_bytes
}

/// The window size that a brotli stream declares in its first byte (RFC 7932 section 9.1).
fn window_bytes(first: u8) -> u64 {
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, n) => 8 + n,
        (_, n, _) => 17 + n,
    };
    1 << bits
}

/// The reason why a stream ends before the body's end.
enum Stop {
    VisitorGone,
    Store(StoreError),
    Damaged(&'static str),
}

/// Streams a body in a task. The last part is sent only after the whole body was checked, so that no visitor gets a
/// damaged body in full: the page is rendered again, and then the answer breaks off.
pub(crate) fn stream_body<S: Stores, C: Chunks>(
    process: &Arc<Process<S>>,
    visits: &Arc<Visits<S>>,
    page: &Resolved,
    generation: Ticket,
    stream: BodyStream<C>,
) -> Body {
    let (sender, parts) = mpsc::channel(1);
    let (process, visits, page) = (process.clone(), visits.clone(), page.clone());
    process.tasks.clone().spawn(async move {
        let sha256 = stream.body.sha256.clone();
        let error = match stream.send_to(&sender).await {
            Ok(()) | Err(Stop::VisitorGone) => return,
            Err(Stop::Store(error)) => {
                process.log(Line::BadBody, |left_out| {
                    tracing::error!(page = %page.key.address(), sha256, left_out, "an answer breaks off, because the rest of a stored body cannot be read: {error}");
                });
                error
            }
            Err(Stop::Damaged(how)) => {
                process.log(Line::BadBody, |left_out| {
                    tracing::error!(page = %page.key.address(), sha256, left_out, "an answer breaks off, because a stored body {how}; the page is rendered again");
                });
                // The render comes before the error: before the visitor can retry, and before Lambda freezes the
                // function. The render logs its own result.
                let _ = visits.render_missing(&page, Reason::First, generation).await;
                StoreError::new(StoreErrorKind::Damaged, format!("a stored body {how}"))
            }
        };
        let _ = sender.send(Err(error)).await;
    });
    Body::Stream(parts)
}

impl<C: Chunks> BodyStream<C> {
    async fn send_to(self, sender: &mpsc::Sender<Result<Bytes, StoreError>>) -> Result<(), Stop> {
        let Self { body, opened: Opened { bytes: _, mut chunks }, coding, mut part, clock } = self;
        let (mut hash, mut stored_bytes) = (Sha256::new(), 0);
        let mut decoder = (coding != body.coding).then(Decoder::default);
        let mut out = Outgoing { sender, last: Bytes::new(), left_bytes: body.bytes_in(coding) };
        while let Some(chunk) = chunks.next().await.map_err(Stop::Store)? {
            hash.update(&chunk);
            stored_bytes += chunk.len() as u64;
            match &mut decoder {
                None => out.push(chunk).await?,
                Some(decoder) => {
                    // A body of an earlier version may declare a larger window than was reserved.
                    let first = chunk.first().copied().filter(|_| stored_bytes == chunk.len() as u64);
                    let needed_bytes = first.map_or(0, |first| decoding_bytes(window_bytes(first)));
                    if !part.grow(needed_bytes, &*clock).await {
                        let used_up = "PERENNIAL_STREAM_MEMORY_BYTES is used up";
                        return Err(Stop::Store(StoreError::refused(used_up)));
                    }
                    let mut rest = &chunk[..];
                    while let Some(part) = decoder.next(&mut rest)? {
                        out.push(part).await?;
                    }
                }
            }
        }
        if stored_bytes != body.stored_bytes || hex(&hash.finalize()) != body.sha256 {
            return Err(Stop::Damaged("is not what its name says"));
        }
        out.end().await
    }
}

/// Decompresses brotli in pieces of input and bounded parts of output. The library's readers pull their input
/// themselves, and its writers return the output of a piece all at once.
struct Decoder(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>);

impl Default for Decoder {
    fn default() -> Self {
        let allocator = StandardAlloc::default;
        Self(Box::new(BrotliState::new(allocator(), allocator(), allocator())))
    }
}

impl Decoder {
    /// The next part of this piece's output, which advances the piece; `None` once the piece is used up.
    fn next(&mut self, piece: &mut &[u8]) -> Result<Option<Bytes>, Stop> {
        let mut part = vec![0; PART_BYTES];
        let (mut input_left, mut input_used) = (piece.len(), 0);
        let (mut output_left, mut output_made, mut total) = (PART_BYTES, 0, 0);
        let result = BrotliDecompressStream(
            &mut input_left,
            &mut input_used,
            piece,
            &mut output_left,
            &mut output_made,
            &mut part,
            &mut total,
            &mut self.0,
        );
        *piece = &piece[input_used..];
        if matches!(result, BrotliResult::ResultFailure) {
            return Err(Stop::Damaged("is no brotli"));
        }
        part.truncate(output_made);
        Ok((output_made > 0).then(|| part.into()))
    }
}

/// Sends parts one behind: the last part is sent by [`Outgoing::end`], after the body was checked.
struct Outgoing<'a> {
    sender: &'a mpsc::Sender<Result<Bytes, StoreError>>,
    last: Bytes,
    /// Bytes that are still to come, according to the record.
    left_bytes: u64,
}

impl Outgoing<'_> {
    /// Sends the part before this one.
    async fn push(&mut self, part: Bytes) -> Result<(), Stop> {
        if part.is_empty() {
            return Ok(());
        }
        let left_bytes = self.left_bytes.checked_sub(part.len() as u64);
        self.left_bytes = left_bytes.ok_or(Stop::Damaged("is longer than its record says"))?;
        let previous = std::mem::replace(&mut self.last, part);
        self.send(previous).await
    }

    async fn end(mut self) -> Result<(), Stop> {
        if self.left_bytes > 0 {
            return Err(Stop::Damaged("is shorter than its record says"));
        }
        let last = take(&mut self.last);
        self.send(last).await
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.send(Ok(bytes)).await.map_err(|_| Stop::VisitorGone)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::base::budget::Budget;
    use crate::base::clock::SystemClock;
    use crate::record::content::Content;

    struct FakeChunks(VecDeque<Result<Bytes, StoreError>>);

    impl Chunks for FakeChunks {
        async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
            self.0.pop_front().transpose()
        }
    }

    /// The bytes that a visitor receives of a body stored in chunks of `chunk_bytes`, and the stream's result.
    async fn streamed(
        body: &BodyRef,
        stored: &[u8],
        coding: Coding,
        chunk_bytes: usize,
    ) -> (Vec<u8>, Result<(), Stop>) {
        let chunks = stored.chunks(chunk_bytes).map(|bytes| Ok(Bytes::copy_from_slice(bytes)));
        let opened = Opened { bytes: stored.len() as u64, chunks: FakeChunks(chunks.collect()) };
        let (sender, mut parts) = mpsc::channel::<Result<Bytes, StoreError>>(1);
        let stream = BodyStream {
            body: body.clone(),
            opened,
            coding,
            part: Budget::new(0).try_take(0).unwrap(),
            clock: Arc::new(SystemClock),
        };
        let receive = async {
            let mut received = Vec::new();
            while let Some(part) = parts.recv().await {
                received.extend(part.expect("`stream_body` sends errors, not `send_to`"));
            }
            received
        };
        // The sender is dropped with this future, which ends `receive`.
        let send = async move { stream.send_to(&sender).await };
        let (result, received) = tokio::join!(send, receive);
        (received, result)
    }

    #[test]
    fn the_window_of_a_stream_is_known_from_its_first_byte() {
        for bits in 10..=24 {
            let params = brotli::enc::BrotliEncoderParams { quality: 5, lgwin: bits, ..Default::default() };
            let mut out = Vec::new();
            brotli::BrotliCompress(&mut &vec![b'x'; 100_000][..], &mut out, &params).unwrap();
            // The encoder declares no larger window than the content needs.
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
    async fn a_whole_body_is_streamed_in_either_coding() {
        let (text, content) = content();
        for chunk in [1000, 65_536, usize::MAX] {
            let (received, result) =
                streamed(content.body(), content.stored(), Coding::Identity, chunk).await;
            assert!(result.is_ok() && received == text.as_bytes(), "{chunk}");
            let (received, result) = streamed(content.body(), content.stored(), Coding::Br, chunk).await;
            assert!(result.is_ok() && received == *content.stored(), "{chunk}");
        }
    }

    /// A client notices the damage, because it receives fewer bytes than `Content-Length` announced.
    #[tokio::test]
    async fn a_damaged_body_is_never_sent_in_full() {
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
                    let (received, result) = streamed(content.body(), &bytes, coding, chunk).await;
                    assert!(matches!(result, Err(Stop::Damaged(_))), "{coding:?}, {chunk}");
                    let received = received.len();
                    assert!(received < announced, "{coding:?}, {chunk}: {received} of {announced}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_wrong_length_in_the_record_is_noticed() {
        let (text, content) = content();
        for bytes in [text.len() as u64 - 1, text.len() as u64 + 1] {
            let body = BodyRef { bytes, ..content.body().clone() };
            let (received, result) = streamed(&body, content.stored(), Coding::Identity, 65_536).await;
            assert!(matches!(result, Err(Stop::Damaged(_))) && (received.len() as u64) < bytes);
        }
    }

    #[tokio::test]
    async fn a_stream_holds_only_small_parts_in_memory() {
        let content = Content::render("0123456789".repeat(1 << 20));
        let (sender, mut parts) = mpsc::channel::<Result<Bytes, StoreError>>(1);
        let chunks = FakeChunks([Ok(content.stored().clone())].into());
        let opened = Opened { bytes: content.body().stored_bytes, chunks };
        let part = Budget::new(0).try_take(0).unwrap();
        let stream = BodyStream {
            body: content.body().clone(),
            opened,
            coding: Coding::Identity,
            part,
            clock: Arc::new(SystemClock),
        };
        let task = tokio::spawn(async move { stream.send_to(&sender).await.is_ok() });
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
