//! Rows 1 and 2: the length of the header lies, the file is cut off, padded or continued, or the header is enormous.

use super::Group;
use crate::package::{Package, framed, save, tensors};
use crate::rules::{MLP, config};
use protocol::package::HEADER_BYTES_MAX;
use protocol::submission::Code;

pub(super) fn fill(group: &mut Group<'_>) {
    group.admitted("as it should be", Package::good(MLP));
    lengths(group);
    cuts(group);
    padding(group);
    tails(group);
    group.large("a header of 99 MB of tensors without values", Code::HeaderTooLarge, || {
        let tensors = 99_000_000 / 56;
        let entry = |index| format!(r#""{index:08}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
        let entries: Vec<String> = (0..tensors).map(entry).collect();
        package(framed(format!("{{{}}}", entries.join(",")), &[]))
    });
    group.large("a header of 99 MB of axes", Code::HeaderTooLarge, || {
        let axes = "1,".repeat(49_500_000);
        package(framed(format!(r#"{{"a":{{"dtype":"F32","shape":[{axes}1],"data_offsets":[0,4]}}}}"#), &[0; 4]))
    });
    group.large("a header of 99 MB of metadata", Code::HeaderTooLarge, || {
        let entries: Vec<String> = (0..8_250_000).map(|index| format!(r#""{index:07}":"""#)).collect();
        package(framed(format!(r#"{{"__metadata__":{{{}}}}}"#, entries.join(",")), &[]))
    });
    group.large("a header of 99 MB of spaces", Code::HeaderTooLarge, || package(framed(vec![b' '; 99_000_000], &[])));
    group.large("129 MiB", Code::FileTooLarge, || package(vec![0; 129 << 20]));
}

fn package(weights: impl Into<Vec<u8>>) -> Package {
    Package::new(config(MLP), weights)
}

fn good() -> Vec<u8> {
    save(&tensors(MLP, "F32"))
}

/// The file with another length in front.
fn claiming(length: u64) -> Vec<u8> {
    let mut file = good();
    file[..8].copy_from_slice(&length.to_le_bytes());
    file
}

fn lengths(group: &mut Group<'_>) {
    let file = good();
    let header = u64::from_le_bytes(std::array::from_fn(|index| file[index]));
    let rest = file.len() as u64 - 8;
    for (name, length, code) in [
        ("0", 0, Code::NotSafetensors),
        ("1", 1, Code::HeaderInvalid),
        ("one less", header - 1, Code::HeaderInvalid),
        ("one more", header + 1, Code::HeaderInvalid),
        ("with its own eight bytes", header + 8, Code::HeaderInvalid),
        ("half", header / 2, Code::HeaderInvalid),
        ("all of the file", rest, Code::HeaderInvalid),
        ("one more than the file", rest + 1, Code::HeaderInvalid),
        ("the limit", HEADER_BYTES_MAX, Code::HeaderInvalid),
        ("over the limit by one", HEADER_BYTES_MAX + 1, Code::HeaderTooLarge),
        ("100 MB", 100_000_000, Code::HeaderTooLarge),
        ("2^31", 1 << 31, Code::HeaderTooLarge),
        ("2^32", 1 << 32, Code::HeaderTooLarge),
        ("2^32 and what is right", (1 << 32) + header, Code::HeaderTooLarge),
        ("2^63", 1 << 63, Code::HeaderTooLarge),
        ("2^64 - 8", u64::MAX - 7, Code::HeaderTooLarge),
        ("2^64 - 1", u64::MAX, Code::HeaderTooLarge),
        ("big-endian", header.swap_bytes(), Code::HeaderTooLarge),
    ] {
        group.refused(format!("the length says {name}"), code, package(claiming(length)));
    }
}

fn cuts(group: &mut Group<'_>) {
    let file = good();
    let header_end = 8 + u64::from_le_bytes(std::array::from_fn(|index| file[index])) as usize;
    for bytes in 0..8 {
        group.refused(format!("cut off after {bytes} bytes"), Code::NotSafetensors, package(&file[..bytes]));
    }
    for bytes in [8, 9, 20, header_end - 1] {
        group.refused(format!("cut off after {bytes} bytes"), Code::HeaderInvalid, package(&file[..bytes]));
    }
    for bytes in [header_end, header_end + 1, file.len() - 4, file.len() - 1] {
        group.refused(format!("cut off after {bytes} bytes"), Code::DataLength, package(&file[..bytes]));
    }
    group.refused("without the length", Code::NotSafetensors, package(&file[8..header_end]));
    group.refused("only data", Code::HeaderTooLarge, package(&file[header_end..]));
}

fn padding(group: &mut Group<'_>) {
    let file = good();
    let length = u64::from_le_bytes(std::array::from_fn(|index| file[index])) as usize;
    let (json, data) = file[8..].split_at(length);
    let padded = |before: &[u8], after: &[u8]| package(framed([before, json, after].concat(), data));
    group.admitted("padded with spaces", padded(b"", b"       "));
    group.admitted("padded to the limit", padded(b"", &vec![b' '; HEADER_BYTES_MAX as usize - length]));
    group.refused(
        "padded over the limit",
        Code::HeaderTooLarge,
        padded(b"", &vec![b' '; HEADER_BYTES_MAX as usize - length + 1]),
    );
    for (name, byte) in [("tab", b'\t'), ("newline", b'\n'), ("return", b'\r'), ("form feed", 12), ("NUL", 0)] {
        group.refused(format!("padded with a {name}"), Code::HeaderInvalid, padded(b"", &[byte]));
        group.refused(format!("padded with a {name} and a space"), Code::HeaderInvalid, padded(b"", &[byte, b' ']));
        group.refused(format!("a {name} in front"), Code::NotSafetensors, padded(&[byte], b""));
    }
    group.refused("a space in front", Code::NotSafetensors, padded(b" ", b""));
    group.refused("a byte order mark in front", Code::NotSafetensors, padded(b"\xef\xbb\xbf", b""));
    group.refused("a brace more", Code::HeaderInvalid, padded(b"", b"}"));
    group.refused("a second header", Code::HeaderInvalid, padded(b"", json));
    group.refused("a comma and a header", Code::HeaderInvalid, padded(b"", b",{}"));
}

fn tails(group: &mut Group<'_>) {
    let file = good();
    let megabyte = vec![0x55; 1 << 20];
    let script = b"#!/bin/sh\nrm -rf /\n";
    for (name, tail) in [
        ("a zero", &[0][..]),
        ("a newline", b"\n"),
        ("eight zeros", &[0; 8]),
        ("a second file", &file),
        ("a pickle", b"\x80\x04cos\nsystem\n(S'id'\ntR."),
        ("a script", script),
        ("a zip archive's end", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("a megabyte", &megabyte),
    ] {
        group.refused(format!("followed by {name}"), Code::DataLength, package([&file[..], tail].concat()));
    }
    group.refused("a file in a file", Code::HeaderTooLarge, package([&[0xff; 8][..], &file].concat()));
}
