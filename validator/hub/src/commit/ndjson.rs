//! The body of a commit, taken apart while it comes: lines of JSON, one of which may hold a whole model in base64.
//!
//! Nothing is kept but the line around that text, which is small: the text itself is decoded and handed on piece by
//! piece. It does not know what the files are or where their bytes go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use protocol::strict;
use serde::Deserialize;

/// A line may have this many bytes beside the content of its file: a summary and a description are a few hundred.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// A commit has no more lines, the empty ones included: a header, a package and what lies beside it. So what is beside
/// content has an end.
const LINES_MAX: u64 = 64;
/// The field whose text is decoded as it comes, and how deep it lies.
const CONTENT: &[u8] = b"content";
const CONTENT_DEPTH: u32 = 2;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of the file whose line is coming.
    Content(Bytes),
    /// The end of a line.
    Line(Line),
}

impl Piece {
    /// How many bytes of a file it is.
    pub(super) fn content_bytes(&self) -> u64 {
        match self {
            Self::Content(bytes) => bytes.len() as u64,
            Self::Line(_) => 0,
        }
    }
}

/// A line, once all of it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The first one.
    Header {
        /// What the commit is called.
        summary: String,
        /// The commit that the client built upon, if it says so.
        parent: Option<String>,
    },
    /// A file, whose content came before.
    File {
        /// Its name.
        path: String,
    },
    /// Something else: a large file by its digest, a deletion, a copy.
    Other {
        /// Its name in the protocol.
        key: String,
    },
}

/// Why a body is no commit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommitError {
    /// Not JSON, or other fields.
    #[error("line {line} of the commit: {problem}")]
    Malformed {
        /// From 1 upwards.
        line: u64,
        /// What the parser found.
        problem: String,
    },
    /// Beside the content of its file a line is small.
    #[error("line {line} of the commit has more than {LINE_BYTES_MAX} bytes beside a file's content")]
    TooLong {
        /// From 1 upwards.
        line: u64,
    },
    /// A package has few files.
    #[error("the commit has more than {LINES_MAX} lines")]
    TooMany,
    /// Not base64.
    #[error("line {line} of the commit: the file's content is no base64")]
    NotBase64 {
        /// From 1 upwards.
        line: u64,
    },
}

/// Takes a body apart.
#[derive(Debug)]
pub(super) struct Lines {
    /// The line without the content.
    around: Vec<u8>,
    state: State,
    /// Brackets that are open.
    depth: u32,
    /// The last text, as far as it could be a field's name that matters.
    last: Vec<u8>,
    /// Whether that text was a name: a value follows.
    named: bool,
    content: Option<Base64>,
    line: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Outside,
    Text { escaped: bool },
    Content { escaped: bool },
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            around: Vec::new(),
            state: State::Outside,
            depth: 0,
            last: Vec::new(),
            named: false,
            content: None,
            line: 1,
        }
    }
}

impl Lines {
    /// The next bytes of the body; what they complete is appended to `pieces`.
    pub(super) fn push(&mut self, mut bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CommitError> {
        while let [first, rest @ ..] = bytes {
            if let State::Content { escaped: false } = self.state {
                bytes = self.take_content(bytes, pieces)?;
            } else {
                self.take(*first, pieces)?;
                bytes = rest;
            }
        }
        Ok(())
    }

    /// The end of the body, which may end its last line.
    pub(super) fn finish(mut self, pieces: &mut Vec<Piece>) -> Result<(), CommitError> {
        self.end_line(pieces)
    }

    /// The text of a file up to its end, or as much of it as came.
    fn take_content<'a>(&mut self, bytes: &'a [u8], pieces: &mut Vec<Piece>) -> Result<&'a [u8], CommitError> {
        let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at(end);
        self.decode(text, pieces)?;
        match rest {
            [b'\\', rest @ ..] => {
                self.state = State::Content { escaped: true };
                Ok(rest)
            }
            [_quote, rest @ ..] => {
                let line = self.line;
                let whole = self.content.as_ref().is_none_or(Base64::is_whole);
                self.state = State::Outside;
                self.keep(b'"')?;
                if whole { Ok(rest) } else { Err(CommitError::NotBase64 { line }) }
            }
            [] => Ok(rest),
        }
    }

    fn decode(&mut self, text: &[u8], pieces: &mut Vec<Piece>) -> Result<(), CommitError> {
        let line = self.line;
        let decoder = self.content.get_or_insert_default();
        let decoded = decoder.decode(text).ok_or(CommitError::NotBase64 { line })?;
        if !decoded.is_empty() {
            pieces.push(Piece::Content(decoded.into()));
        }
        Ok(())
    }

    fn take(&mut self, byte: u8, pieces: &mut Vec<Piece>) -> Result<(), CommitError> {
        match (self.state, byte) {
            // JSON may write a slash as `\/`, and base64 has no other character that can be escaped.
            (State::Content { escaped: true }, b'/') => {
                self.state = State::Content { escaped: false };
                return self.decode(b"/", pieces);
            }
            (State::Content { .. }, _) => return Err(CommitError::NotBase64 { line: self.line }),
            (State::Text { escaped: false }, b'"') => self.state = State::Outside,
            (State::Text { escaped }, byte) => {
                self.state = State::Text { escaped: !escaped && byte == b'\\' };
                if self.last.len() <= CONTENT.len() {
                    self.last.push(byte);
                }
            }
            (State::Outside, b'\n') => return self.end_line(pieces),
            (State::Outside, byte) => self.take_outside(byte)?,
        }
        self.keep(byte)
    }

    fn take_outside(&mut self, byte: u8) -> Result<(), CommitError> {
        match byte {
            b'"' if self.named && self.depth == CONTENT_DEPTH && self.last == CONTENT => {
                if self.content.is_some() {
                    let problem = "a second content".to_owned();
                    return Err(CommitError::Malformed { line: self.line, problem });
                }
                self.content = Some(Base64::default());
                self.state = State::Content { escaped: false };
                self.named = false;
            }
            b'"' => {
                self.state = State::Text { escaped: false };
                self.last.clear();
                self.named = false;
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.named = false;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' => self.named = true,
            b',' => self.named = false,
            _ => {}
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), CommitError> {
        if self.around.len() >= LINE_BYTES_MAX {
            return Err(CommitError::TooLong { line: self.line });
        }
        self.around.push(byte);
        Ok(())
    }

    fn end_line(&mut self, pieces: &mut Vec<Piece>) -> Result<(), CommitError> {
        if self.line > LINES_MAX {
            return Err(CommitError::TooMany);
        }
        let next = Self { line: self.line + 1, ..Self::default() };
        let Self { around, content, line, .. } = std::mem::replace(self, next);
        if around.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let malformed = |problem: String| CommitError::Malformed { line, problem };
        let read: Written = strict::from_slice(&around).map_err(|error| malformed(error.to_string()))?;
        pieces.push(Piece::Line(match read.key.as_str() {
            "header" => {
                let Header { summary, parent_commit } = value(read.value).map_err(malformed)?;
                Line::Header { summary, parent: parent_commit }
            }
            "file" => {
                let File { path, encoding, content: text } = value(read.value).map_err(malformed)?;
                if encoding != "base64" {
                    return Err(malformed(format!("encoding {encoding:?} is not base64")));
                }
                // The content of a line is cut out of it; where something is left, it stood elsewhere.
                if content.is_none() || !text.is_empty() {
                    return Err(malformed("a file without content".into()));
                }
                Line::File { path }
            }
            _ => Line::Other { key: read.key.chars().take(64).collect() },
        }));
        Ok(())
    }
}

fn value<T: for<'de> Deserialize<'de>>(value: serde_json::Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Written {
    key: String,
    value: serde_json::Value,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    summary: String,
    #[serde(default, rename = "parentCommit")]
    parent_commit: Option<String>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    encoding: String,
    content: String,
}

/// Decodes base64 that comes in pieces.
#[derive(Debug, Default)]
struct Base64 {
    /// Up to three characters that wait for a fourth.
    waiting: Vec<u8>,
    /// Whether its padding came: nothing may follow.
    ended: bool,
}

impl Base64 {
    /// The bytes of the groups that are complete; nothing if it isn't base64.
    fn decode(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        if self.ended {
            return None;
        }
        let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 3);
        let missing = (4 - self.waiting.len()) % 4;
        let (head, text) = text.split_at(missing.min(text.len()));
        self.waiting.extend_from_slice(head);
        if self.waiting.len() == 4 {
            let group = std::mem::take(&mut self.waiting);
            self.groups(&group, &mut decoded)?;
        }
        let (groups, rest) = text.split_at(text.len() - text.len() % 4);
        if self.ended && !text.is_empty() {
            return None;
        }
        self.groups(groups, &mut decoded)?;
        if self.ended && !rest.is_empty() {
            return None;
        }
        self.waiting.extend_from_slice(rest);
        Some(decoded)
    }

    fn groups(&mut self, groups: &[u8], into: &mut Vec<u8>) -> Option<()> {
        STANDARD.decode_vec(groups, into).ok()?;
        self.ended |= groups.last() == Some(&b'=');
        Some(())
    }

    fn is_whole(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body gives when it comes in pieces of `size` bytes.
    fn taken(body: &[u8], size: usize) -> Result<(Vec<u8>, Vec<Line>), CommitError> {
        let (mut lines, mut pieces) = (Lines::default(), Vec::new());
        for chunk in body.chunks(size) {
            lines.push(chunk, &mut pieces)?;
        }
        lines.finish(&mut pieces)?;
        let (mut content, mut ends) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Content(bytes) => content.extend_from_slice(&bytes),
                Piece::Line(line) => ends.push(line),
            }
        }
        Ok((content, ends))
    }

    fn file(content: &str) -> String {
        format!("{{\"key\":\"file\",\"value\":{{\"content\":\"{content}\",\"path\":\"a\",\"encoding\":\"base64\"}}}}\n")
    }

    #[test]
    fn a_commit_is_the_same_however_it_is_cut() {
        let bytes: Vec<u8> = (0..=255).collect();
        let body = format!(
            "{}\n{}\n\n{}",
            r#"{"key": "header", "value": {"summary": "say \"content\": \\", "description": "", "parentCommit": "abc"}}"#,
            file(&STANDARD.encode(&bytes)).trim_end(),
            r#"{"value": {"encoding": "base64", "path": "b", "content": "aGk="}, "key": "file"}"#,
        );
        for size in 1..body.len() {
            let (content, lines) = taken(body.as_bytes(), size).unwrap_or_else(|error| panic!("{size}: {error}"));
            assert_eq!(content, [bytes.as_slice(), b"hi"].concat(), "in pieces of {size}");
            let file = |path: &str| Line::File { path: path.into() };
            let header = Line::Header { summary: "say \"content\": \\".into(), parent: Some("abc".into()) };
            assert_eq!(lines, [header, file("a"), file("b")]);
        }
    }

    #[test]
    fn slashes_may_be_escaped_and_padding_ends_a_file() {
        assert_eq!(taken(file(r"\/\/\/\/").as_bytes(), 1).unwrap_or_default().0, [0xff, 0xff, 0xff]);
        assert_eq!(taken(file("").as_bytes(), 7).unwrap_or_default().0, b"");
        for content in ["aGk=aGk=", "aGk", "a", "aGk=\\n", "a Gk", "====", "aGk=x", "\\u0061Gk="] {
            for size in [1, 3, 1_000] {
                let error = taken(file(content).as_bytes(), size).err();
                assert_eq!(error, Some(CommitError::NotBase64 { line: 1 }), "{content} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_is_no_commit_is_refused_with_its_line() {
        let long = format!("{{\"key\":\"header\",\"value\":{{\"summary\":\"{}\"}}}}", "x".repeat(20_000));
        for (body, expected) in [
            ("{}", "line 1 of the commit: missing field `key` at line 1 column 2"),
            ("\nnonsense", "line 2 of the commit: expected ident at line 1 column 2"),
            (
                r#"{"key":"file","value":{"path":"a","encoding":"base64"}}"#,
                "line 1 of the commit: missing field `content`",
            ),
            (
                r#"{"key":"file","value":{"path":"a","encoding":"utf-8","content":"aGk="}}"#,
                "line 1 of the commit: encoding \"utf-8\" is not base64",
            ),
            (
                r#"{"key":"file","value":{"path":"a","encoding":"base64","content":"aGk=","content":"aGk="}}"#,
                "line 1 of the commit: a second content",
            ),
            (&long, "line 1 of the commit has more than 16384 bytes beside a file's content"),
            (r#"{"key":"file","value":{"content":"aGk="#, "line 1 of the commit: EOF while parsing"),
            (&"\n".repeat(65), "the commit has more than 64 lines"),
        ] {
            let error = taken(body.as_bytes(), 5).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with(expected), "{error}");
        }
        let (_, lines) = taken(br#"{"key":"lfsFile","value":{"oid":"x"}}"#, 9).unwrap_or_default();
        assert_eq!(lines, [Line::Other { key: "lfsFile".into() }]);
    }
}
