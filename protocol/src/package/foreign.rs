//! Files that are no safetensors, by name: whoever uploads a `.pt` must learn what to do instead.
//!
//! Names come from the first bytes (of tar, from byte 257) and from the names inside zip archives. None of these files
//! is ever opened, unpacked or run; only bytes are compared. It does NOT know safetensors: the front check asks here
//! once a file isn't that, since a header of 640 bytes begins like a pickle.

/// A zip archive ends in a record of 22 bytes and at most 64 KiB of comment, and is found from there.
const ZIP_END_BYTES: usize = 22;
const ZIP_COMMENT_BYTES_MAX: usize = 0xffff;
/// Signatures of a zip archive's last record, of an entry of its directory, and of what points to a 64-bit directory.
const ZIP_END: &[u8] = b"PK\x05\x06";
const ZIP_DIRECTORY: &[u8] = b"PK\x01\x02";
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
const ZIP64_LOCATOR_BYTES: usize = 20;

/// So many plain characters at a file's beginning are a text.
const TEXT_BYTES: usize = 64;

/// How a model in PyTorch's own formats becomes safetensors.
const FROM_PYTORCH: &str =
    "load it where you trust it, then safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")";
const FROM_TRAINING: &str = "save the PyTorch model that it was made from with safetensors.torch.save_file";
const AS_ONNX: &str =
    "send it as model.onnx: `retort miner check` of the file writes the config.json that goes with it";
const UNPACKED: &str = "upload the model inside, unpacked";
const BY_NAME: &str = "name each array as in the state_dict and use safetensors.numpy.save_file";

/// What begins like this, and what to do with it.
const BEGINNINGS: [(&[u8], &str, &str); 21] = [
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACKED),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACKED),
    (b"\x1f\x8b", "a gzip file", UNPACKED),
    (b"BZh", "a bzip2 file", UNPACKED),
    (b"\xfd7zXZ\x00", "an xz file", UNPACKED),
    (b"\x28\xb5\x2f\xfd", "a zstd file", UNPACKED),
    (b"PK\x05\x06", "an empty zip archive", UNPACKED),
    (b"PK\x07\x08", "a part of a split zip archive", UNPACKED),
    (b"GGUF", "a GGUF file", FROM_TRAINING),
    (b"lmgg", "a GGML file", FROM_TRAINING),
    (b"tjgg", "a GGML file", FROM_TRAINING),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?)", BY_NAME),
    (b"\x93NUMPY", "a NumPy array (.npy)", BY_NAME),
    (
        b"version https://git-lfs",
        "a Git LFS pointer without the weights",
        "run `git lfs pull` and upload what it fetches",
    ),
    (
        b"\xef\xbb\xbf",
        "a file that begins with a byte order mark (EF BB BF), which only texts have",
        "some editor or script treated it as one; upload it as save_file wrote it",
    ),
    (b"<!DOCTYPE", "a web page", "download the file itself, not the page about it"),
    (b"<!doctype", "a web page", "download the file itself, not the page about it"),
    (b"<html", "a web page", "download the file itself, not the page about it"),
    (b"{", "a JSON text", "config.json goes under its own name and the weights under model.safetensors"),
    (b"\x7fELF", "a program", "upload the weights; the architecture is data and no code of yours runs here"),
    (b"#!", "a script", "upload the weights; the architecture is data and no code of yours runs here"),
];

/// What a file is that isn't safetensors, with what to do instead; `None` when it has no name.
pub(super) fn describe(file: &[u8]) -> Option<String> {
    let (what, instead) = recognise(file)?;
    Some(format!("this is {what}: {instead}"))
}

/// What a file is that isn't ONNX, in words; `None` where it begins as ONNX does, or has no name.
pub fn not_onnx(file: &[u8]) -> Option<String> {
    if is_onnx(file) {
        return None;
    }
    if file.get(8) == Some(&b'{') {
        return Some("this is a safetensors file: call it model.safetensors, beside a config.json".to_owned());
    }
    let head = file.get(..file.len().min(TEXT_BYTES)).unwrap_or_default();
    let is_text = !head.is_empty() && head.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'));
    let text = || is_text.then(|| "this is a text, and no ONNX file".to_owned());
    describe(file).or_else(text)
}

fn recognise(file: &[u8]) -> Option<(&'static str, &'static str)> {
    if file.starts_with(b"PK\x03\x04") {
        return Some(recognise_zip(file));
    }
    if is_pickle(file) {
        return Some(("a Python pickle (an old PyTorch checkpoint?)", FROM_PYTORCH));
    }
    if is_onnx(file) {
        return Some(("an ONNX file", AS_ONNX));
    }
    if file.get(4..).is_some_and(|rest| rest.starts_with(b"TFL3")) {
        return Some(("a TensorFlow Lite file", FROM_TRAINING));
    }
    if file.get(257..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Some(("a tar archive", UNPACKED));
    }
    BEGINNINGS.iter().find(|(magic, ..)| file.starts_with(magic)).map(|(_, what, instead)| (*what, *instead))
}

/// Zip archives of model formats, by the names in them.
fn recognise_zip(file: &[u8]) -> (&'static str, &'static str) {
    // The first name lies behind the first record of 30 bytes; all names are in the directory at the end.
    let head = file.get(..file.len().min(1024)).unwrap_or_default();
    let tail = file.get(file.len().saturating_sub(ZIP_COMMENT_BYTES_MAX)..).unwrap_or_default();
    let names = |needle: &[u8]| [head, tail].iter().any(|part| part.windows(needle.len()).any(|at| at == needle));
    if names(b"constants.pkl") || names(b"/code/__torch__") {
        return ("a TorchScript archive", FROM_PYTORCH);
    }
    if names(b"data.pkl") {
        return ("a PyTorch checkpoint (.pt, .pth or pytorch_model.bin: a zip archive with a pickle)", FROM_PYTORCH);
    }
    if names(b".npy") {
        return ("a NumPy archive (.npz)", BY_NAME);
    }
    if names(b".weights.h5") {
        return ("a Keras archive", BY_NAME);
    }
    ("a zip archive", UNPACKED)
}

/// Protocols 2 to 5 say so in two bytes; 0 and 1 begin with what they build: a global, or a mark or container that is
/// memoised.
fn is_pickle(file: &[u8]) -> bool {
    match file {
        [0x80, 0..=5, ..] => true,
        [b'(', b'd' | b'l' | b'i', b'p' | b'q', ..] | [b'}' | b']', b'q', ..] => true,
        [b'c', rest @ ..] => {
            let mut lines = rest.split(|byte| *byte == b'\n');
            let named = |line: Option<&[u8]>| {
                line.is_some_and(|line| {
                    (1..=64).contains(&line.len())
                        && line.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
                })
            };
            named(lines.next()) && named(lines.next()) && lines.next().is_some()
        }
        _ => false,
    }
}

/// A protobuf whose first fields are an IR version of 1 to 15 and then a producer, a domain or a graph.
fn is_onnx(file: &[u8]) -> bool {
    matches!(file, [0x08, 1..=15, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42, ..])
}

/// Whether a zip reader would find an archive in the bytes of `parts`, one after the other.
///
/// Such readers look from the end backwards, so a file can be safetensors to one program and an archive with a pickle to
/// another. Trailing bytes are refused elsewhere; this finds an archive that is written as weights.
pub fn hides_zip(parts: &[&[u8]]) -> bool {
    let mut tail = Vec::new();
    let needed = ZIP_END_BYTES.saturating_add(ZIP_COMMENT_BYTES_MAX);
    for part in parts.iter().rev() {
        let wanted = needed.saturating_sub(tail.len());
        let from = part.len().saturating_sub(wanted);
        tail.extend(part.get(from..).unwrap_or_default().iter().rev());
    }
    tail.reverse();
    let total = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
    let tail_start = total.saturating_sub(tail.len());
    tail.windows(ZIP_END_BYTES)
        .enumerate()
        .any(|(at, end)| end.starts_with(ZIP_END) && leads_to_directory(parts, tail_start.saturating_add(at), end))
}

/// Whether the record at `at` points to a directory: counted from the file's start or back from the record, as readers
/// of archives with something in front do.
fn leads_to_directory(parts: &[&[u8]], at: usize, end: &[u8]) -> bool {
    let word = |from: usize| {
        let bytes = end.get(from..).and_then(<[u8]>::first_chunk::<4>);
        bytes.map_or(usize::MAX, |bytes| u32::from_le_bytes(*bytes) as usize)
    };
    let (size, offset) = (word(12), word(16));
    let back = at.checked_sub(size).is_some_and(|start| begins_at(parts, start, ZIP_DIRECTORY));
    let absolute = begins_at(parts, offset, ZIP_DIRECTORY);
    let zip64 = at.checked_sub(ZIP64_LOCATOR_BYTES).is_some_and(|start| begins_at(parts, start, ZIP64_LOCATOR));
    back || absolute || zip64
}

/// Whether the bytes of `parts` from `start` on begin with `signature`.
fn begins_at(parts: &[&[u8]], start: usize, signature: &[u8]) -> bool {
    let mut skip = start;
    let mut wanted = signature.iter();
    for part in parts {
        for byte in part.get(skip..).unwrap_or_default() {
            match wanted.next() {
                None => return true,
                Some(expected) if expected != byte => return false,
                Some(_) => {}
            }
        }
        skip = skip.saturating_sub(part.len());
    }
    wanted.as_slice().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with one directory entry, behind `before`; offsets count from the archive's own start.
    fn archive(before: &[u8], offset_from_file: bool) -> Vec<u8> {
        let start = if offset_from_file { before.len() as u32 } else { 0 };
        let directory = [ZIP_DIRECTORY, &[0; 42]].concat();
        let mut end = [ZIP_END, &[0; 18]].concat();
        end[12..16].copy_from_slice(&(directory.len() as u32).to_le_bytes());
        end[16..20].copy_from_slice(&start.to_le_bytes());
        [before, &directory, &end].concat()
    }

    #[test]
    fn an_archive_is_found_wherever_readers_would_find_it() {
        for before in [0, 1, 1000, 70_000] {
            for absolute in [false, true] {
                let bytes = archive(&vec![7; before], absolute);
                assert!(hides_zip(&[&bytes]), "{before}");
                assert!(hides_zip(&[&bytes, b"a comment"]), "{before}, with a comment");
                for cut in 0..bytes.len().min(90) {
                    let (head, tail) = bytes.split_at(bytes.len() - cut);
                    assert!(hides_zip(&[head, tail]), "{before}, in two parts");
                }
            }
        }
        let zip64 = [&[7; 30][..], ZIP64_LOCATOR, &[0; 16], ZIP_END, &[0xff; 18]].concat();
        assert!(hides_zip(&[&zip64]));
    }

    #[test]
    fn what_is_no_onnx_says_what_it_is() {
        let said = |file: &[u8]| not_onnx(file).unwrap_or_default();
        assert!(said(b"PK\x03\x04 a picture").starts_with("this is a zip archive"));
        assert!(said(b"see https://example.com\n").starts_with("this is a text"));
        assert!(said(b"\x10\0\0\0\0\0\0\0{\"a\":1}").starts_with("this is a safetensors file"));
        assert_eq!(not_onnx(b"\x08\x09\x12\x00 a graph"), None);
        assert_eq!(not_onnx(&[0xff; 80]), None, "nobody knows");
    }

    #[test]
    fn a_signature_that_leads_nowhere_is_chance() {
        assert!(!hides_zip(&[&[ZIP_END, &[1; 18]].concat()]));
        assert!(!hides_zip(&[b"", b""]));
        assert!(!hides_zip(&[ZIP_END]), "cut off");
        let far = archive(b"", true);
        assert!(!hides_zip(&[&far, &[0; ZIP_COMMENT_BYTES_MAX + 1]]), "no reader looks that far back");
    }
}
