//! The language between engine and worker, as both ends read it. It is the engine's own file, compiled here because
//! the engine's crate brings a whole ML library.

#[expect(dead_code, reason = "the engine uses all of it")]
#[path = "../../../eval/src/frames.rs"]
mod language;

use language::{HEADER_BYTES, Header, Kind, Span, read_frame, read_header, send};

/// A stream of frames: as a worker reads requests, and as the engine reads the heads of answers.
pub(super) fn frames(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some((kind, payload))) = read_frame(&mut rest) {
        let used = input.len() - rest.len();
        let mut again = Vec::new();
        send(&mut again, kind, &[&payload]).expect("a buffer takes everything");
        assert_eq!(again, input[used - again.len()..used], "a frame with two forms");
        if let Ok(span) = Span::from_bytes(&payload) {
            assert_eq!(span.to_bytes(), payload[..Span::BYTES], "a span with two forms");
        }
    }
    // An answer's length is believed before its payload is read: the head alone must say what it says.
    let mut rest = input;
    while let Ok(Some(header)) = read_header(&mut rest) {
        assert_eq!(Header::from_bytes(header.to_bytes()).ok(), Some(header), "a head with two forms");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let frame = |kind, parts: &[&[u8]]| {
        let mut bytes = Vec::new();
        send(&mut bytes, kind, parts).expect("a buffer takes everything");
        bytes
    };
    let span = Span { first: 3, count: 64 }.to_bytes();
    let load = [&[0; 8][..], &612_u64.to_le_bytes(), &44_000_u64.to_le_bytes()].concat();
    let session = [
        frame(Kind::Load, &[&load]),
        frame(Kind::Items, &[&0_u64.to_le_bytes(), &3_136_u64.to_le_bytes()]),
        frame(Kind::Ping, &[]),
        frame(Kind::Run, &[&span]),
        frame(Kind::Time, &[&span]),
    ];
    let answers =
        [frame(Kind::Hello, &[&[0; 8]]), frame(Kind::Refused, &[b"{}"]), frame(Kind::Out, &[&span, &[0; 40]])];
    vec![session.concat(), answers.concat(), vec![0; HEADER_BYTES]]
}
