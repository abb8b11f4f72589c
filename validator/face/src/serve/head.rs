//! What is odd about the head of a request, found in its bytes before hyper reads them.
//!
//! hyper takes more than HTTP/1.1 has: two Host lines or none, lines that end without a carriage return, encodings beside
//! `chunked`. Two readers that understand such a request differently can be played off against each other, so it is
//! refused. It does not know what is asked for.

use http::uri::Authority;

/// Longer lines are refused by hyper, which counts all of a head.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Why a request is refused though it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A line of the head ends with a line feed alone.
    BareLineFeed,
    /// Two lines name a host.
    TwoHosts,
    /// HTTP/1.1, and no line names a host.
    NoHost,
    /// A Host line that names no host and port.
    BadHost,
    /// Two lines say how long the body is, or one of them and a transfer coding.
    TwoLengths,
    /// Transfer codings other than `chunked`.
    Encoding,
}

impl Oddity {
    /// What is wrong, for a person.
    pub fn detail(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line of the head ends without a carriage return",
            Self::TwoHosts => "the head has more than one Host line",
            Self::NoHost => "the head has no Host line",
            Self::BadHost => "the Host line is no host with a port or without one",
            Self::TwoLengths => "the head says twice how long the body is",
            Self::Encoding => "the only transfer coding is chunked, once",
        }
    }
}

/// Looks at the bytes of a connection, one request after the other.
#[derive(Debug, Default)]
pub(super) struct Heads {
    part: Part,
    line: Vec<u8>,
    head: Head,
}

/// What comes next.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// Nothing that could be another head: the connection ends after this request.
    Last,
}

/// What a head said so far.
#[derive(Debug, Default)]
struct Head {
    began: bool,
    is_1_1: bool,
    hosts: u32,
    bad_host: bool,
    lengths: u32,
    length: u64,
    codings: u32,
    chunked: bool,
}

impl Heads {
    /// The next bytes of the connection.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Result<(), Oddity> {
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Last => return Ok(()),
                Part::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    (*left, bytes) = (*left - taken as u64, &bytes[taken..]);
                    if *left == 0 {
                        self.part = Part::Head;
                    }
                }
                Part::Head => bytes = self.take_line(bytes)?,
            }
        }
        Ok(())
    }

    /// As much of a line as came.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Oddity> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        if self.line.len() + part.len() > LINE_BYTES_MAX {
            self.part = Part::Last;
            return Ok(&[]);
        }
        self.line.extend_from_slice(part);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r\n").ok_or(Oddity::BareLineFeed)?;
            self.end_line(line)?;
        }
        Ok(rest)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), Oddity> {
        let head = &mut self.head;
        match (head.began, line.is_empty()) {
            // Empty lines may precede a request.
            (false, true) => {}
            (false, false) => (head.began, head.is_1_1) = (true, line.ends_with(b" HTTP/1.1")),
            (true, false) => head.take_field(line),
            (true, true) => {
                head.check()?;
                self.part = match (head.codings, head.length) {
                    (0, 0) => Part::Head,
                    (0, length) => Part::Body(length),
                    _ => Part::Last,
                };
                self.head = Head::default();
            }
        }
        Ok(())
    }
}

impl Head {
    fn take_field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            self.bad_host |= !is_host(value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            // hyper refuses what is no number.
            self.length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            self.chunked = value.eq_ignore_ascii_case(b"chunked");
        }
    }

    fn check(&self) -> Result<(), Oddity> {
        match self {
            Self { hosts: 2.., .. } => Err(Oddity::TwoHosts),
            Self { hosts: 0, is_1_1: true, .. } => Err(Oddity::NoHost),
            Self { bad_host: true, .. } => Err(Oddity::BadHost),
            Self { codings: 2.., .. } | Self { codings: 1, chunked: false, .. } => Err(Oddity::Encoding),
            Self { lengths: 2.., .. } | Self { codings: 1, lengths: 1, .. } => Err(Oddity::TwoLengths),
            _ => Ok(()),
        }
    }
}

/// Whether a Host line's value is `uri-host [":" port]` (RFC 9112, 3.2); it may be empty.
fn is_host(value: &[u8]) -> bool {
    if value.is_empty() {
        return true;
    }
    let Some(authority) = Authority::try_from(value).ok().filter(|authority| !authority.as_str().contains(['@', ',']))
    else {
        return false;
    };
    match authority.as_str().strip_prefix(authority.host()) {
        Some("" | ":") => true,
        Some(port) => port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok() && !port.starts_with('+')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when the bytes come in pieces of `size`.
    fn found(bytes: &[u8], size: usize) -> Result<(), Oddity> {
        let mut heads = Heads::default();
        bytes.chunks(size).try_for_each(|piece| heads.see(piece))
    }

    #[test]
    fn what_is_odd_is_found_however_it_is_cut() {
        let get = "GET / HTTP/1.1\r\n";
        for (text, expected) in [
            (format!("{get}Host: a\r\n\r\n"), Ok(())),
            ("\r\nGET / HTTP/1.0\r\n\r\n".into(), Ok(())),
            (format!("{get}Host: a\r\nhost: a\r\n\r\n"), Err(Oddity::TwoHosts)),
            (format!("{get}Accept: a\r\n\r\n"), Err(Oddity::NoHost)),
            (format!("{get}Host:\r\n\r\n"), Ok(())),
            (format!("{get}Host: a.example:7070\r\n\r\n"), Ok(())),
            (format!("{get}Host: [::1]:7070\r\n\r\n"), Ok(())),
            (format!("{get}Host: a@x\r\n\r\n"), Err(Oddity::BadHost)),
            (format!("{get}Host: a, b\r\n\r\n"), Err(Oddity::BadHost)),
            (format!("{get}Host: a b\r\n\r\n"), Err(Oddity::BadHost)),
            (format!("{get}Host: a/b\r\n\r\n"), Err(Oddity::BadHost)),
            (format!("{get}Host: a:99999999\r\n\r\n"), Err(Oddity::BadHost)),
            (format!("{get}Host: a:+80\r\n\r\n"), Err(Oddity::BadHost)),
            (format!("{get}Host: \"><script>\r\n\r\n"), Err(Oddity::BadHost)),
            (format!("{get}Host: a\n\r\n"), Err(Oddity::BareLineFeed)),
            (format!("{get}Host: a\r\n\n"), Err(Oddity::BareLineFeed)),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n".into(), Err(Oddity::BareLineFeed)),
            (format!("\n{get}Host: a\r\n\r\n"), Err(Oddity::BareLineFeed)),
            (format!("{get}Host: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /"), Ok(())),
            (format!("{get}Host: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n"), Err(Oddity::Encoding)),
            (
                format!("{get}Host: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"),
                Err(Oddity::Encoding),
            ),
            (format!("{get}Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"), Err(Oddity::TwoLengths)),
            (
                format!("{get}Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
                Err(Oddity::TwoLengths),
            ),
            // A body may have anything in it; after it comes another head.
            (format!("{get}Host: a\r\nContent-Length: 3\r\n\r\n\na\n{get}Host: a\r\n\r\n"), Ok(())),
            (format!("{get}Host: a\r\nContent-Length: 3\r\n\r\n\na\n{get}\r\n"), Err(Oddity::NoHost)),
            (format!("{get}Host: a\r\n\r\n{get}Host: a\n\r\n"), Err(Oddity::BareLineFeed)),
        ] {
            for size in 1..=text.len() {
                assert_eq!(found(text.as_bytes(), size), expected, "in pieces of {size}: {text}");
            }
        }
    }
}
