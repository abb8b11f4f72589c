//! Rows 15 to 17: other formats under our name, each refused by its own name, and archives hidden in weights.

use super::Group;
use crate::package::{Package, Tensor, save, tensors};
use crate::rules::{MLP, config};
use protocol::submission::Code;

/// First bytes of files that people have, and what the refusal must call them.
pub const FORMATS: [(&str, &[u8], &str); 51] = [
    ("pickle 0", b"ccollections\nOrderedDict\np0\n(tp1\nRp2\n.", "pickle"),
    ("pickle 0, a call", b"cos\nsystem\n(S'id'\ntR.", "pickle"),
    ("pickle 0, a dictionary", b"(dp0\nS'weight'\np1\n", "pickle"),
    ("pickle 0, a list", b"(lp0\nF1.0\naF2.0\na.", "pickle"),
    ("pickle 1, a dictionary", b"}q\x00U\x06weightq\x01K\x01s.", "pickle"),
    ("pickle 1, a list", b"]q\x00(G?\xf0\0\0\0\0\0\0e.", "pickle"),
    ("pickle protocol byte 0", b"\x80\x00}q\x00X\x01\0\0\0a", "pickle"),
    ("pickle protocol byte 1", b"\x80\x01}q\x00X\x01\0\0\0a", "pickle"),
    ("pickle 2", b"\x80\x02}q\x00X\x06\0\0\0weight", "pickle"),
    ("pickle 2 of torch before 1.6", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "pickle"),
    ("pickle 3", b"\x80\x03}q\x00X\x06\0\0\0weight", "pickle"),
    ("pickle 4", b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x02os", "pickle"),
    ("pickle 5", b"\x80\x05\x95\x1c\0\0\0\0\0\0\0\x8c\x02os", "pickle"),
    ("torch.save", b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\x12\0archive/data.pkl", "PyTorch checkpoint"),
    ("torch.jit.save", b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0e\0\x12\0net/data.pkl....net/code/__torch__.py....net/constants.pkl", "TorchScript"),
    ("numpy.savez", b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x09\0\x14\0arr_0.npy", ".npz"),
    ("Keras 3", b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x0d\0\0\0metadata.json....model.weights.h5", "Keras"),
    ("a zip archive", b"PK\x03\x04\x14\0\0\0\x08\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt", "zip archive"),
    ("an empty zip archive", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "zip archive"),
    ("a split zip archive", b"PK\x07\x08PK\x03\x04\x14\0", "zip archive"),
    ("7z", b"7z\xbc\xaf\x27\x1c\0\x04\x8d\x9b\xd5\x0f", "7z"),
    ("RAR 4", b"Rar!\x1a\x07\0\xcf\x90\x73\0\0", "RAR"),
    ("RAR 5", b"Rar!\x1a\x07\x01\0\x33\x92\xb5\xe5", "RAR"),
    ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c", "gzip"),
    ("gzip with a name", b"\x1f\x8b\x08\x08\xd2\x02\x96\x49\0\x03model", "gzip"),
    ("bzip2", b"BZh91AY&SY\x8d\x1e", "bzip2"),
    ("xz", b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46", "xz"),
    ("zstd", b"\x28\xb5\x2f\xfd\x04\x58\x29\0\0\x61", "zstd"),
    ("GGUF 2", b"GGUF\x02\0\0\0\x10\0\0\0\0\0\0\0", "GGUF"),
    ("GGUF 3", b"GGUF\x03\0\0\0\x10\0\0\0\0\0\0\0", "GGUF"),
    ("GGML", b"lmgg\x01\0\0\0\0\x7d\0\0", "GGML"),
    ("GGJT", b"tjgg\x03\0\0\0\0\x7d\0\0", "GGML"),
    ("HDF5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0", "HDF5"),
    ("npy 1", b"\x93NUMPY\x01\0v\0{'descr': '<f4'", ".npy"),
    ("npy 2", b"\x93NUMPY\x02\0v\0\0\0{'descr': '<f4'", ".npy"),
    ("ONNX of torch 1", b"\x08\x06\x12\x07pytorch\x1a\x032.0:\x8b\x01", "ONNX"),
    ("ONNX of torch 2", b"\x08\x08\x12\x07pytorch\x1a\x052.5.1:\xff\x01", "ONNX"),
    ("ONNX of tf2onnx", b"\x08\x07\x12\x07tf2onnx\x1a\x061.16.1:", "ONNX"),
    ("ONNX without a producer", b"\x08\x0a:\xff\x01\x0a\x10\x0a\x01x\x0a\x01w", "ONNX"),
    ("TensorFlow Lite", b"\x1c\0\0\0TFL3\x14\0\x20\0\x1c\0\x18\0", "TensorFlow Lite"),
    ("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "Git LFS"),
    ("a web page", b"<!DOCTYPE html>\n<html><head><title>404", "web page"),
    ("a web page in small letters", b"<!doctype html><html class=\"\">", "web page"),
    ("a web page without a type", b"<html><body>Not Found</body></html>", "web page"),
    ("config.json", br#"{"format":"retort/1","architecture":{"kind":"mlp"}}"#, "JSON"),
    ("an index of shards", br#"{"metadata":{"total_size":1},"weight_map":{}}"#, "JSON"),
    ("a program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0", "program"),
    ("a script", b"#!/usr/bin/env python3\nimport os\n", "script"),
    ("a script of sh", b"#!/bin/sh\nexit 0\n", "script"),
    ("pickle after a protocol byte and nothing", b"\x80\x04.\0\0\0\0\x01", "pickle"),
    ("a pickle of torch with a mark", b"(dp1\nVstate_dict\np2\n", "pickle"),
];

pub(super) fn fill(group: &mut Group<'_>) {
    for (name, bytes, _) in FORMATS {
        group.refused(name, Code::NotSafetensors, Package::new(config(MLP), bytes));
        let longer = [bytes, &[0x5a; 4_096]].concat();
        group.refused(format!("{name}, longer"), Code::NotSafetensors, Package::new(config(MLP), longer));
    }
    group.refused("tar", Code::NotSafetensors, Package::new(config(MLP), tar()));
    let unnamed: [(&str, &[u8], Code); 6] = [
        ("text", b"these are my weights", Code::HeaderTooLarge),
        ("random bytes", b"\x9e\x11\xc4\x77\x01\xfa\x30\x5d\x12\x99", Code::HeaderTooLarge),
        ("zeros", &[0; 64], Code::NotSafetensors),
        ("ones", &[0xff; 64], Code::HeaderTooLarge),
        ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Code::HeaderTooLarge),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", Code::HeaderTooLarge),
    ];
    for (name, bytes, code) in unnamed {
        group.refused(name, code, Package::new(config(MLP), bytes));
    }
    hidden(group);
    lookalikes(group);
}

/// A tar archive is known by its 257th byte.
fn tar() -> Vec<u8> {
    let mut bytes = vec![0; 1_024];
    bytes[..17].copy_from_slice(b"model.safetensors");
    bytes[257..265].copy_from_slice(b"ustar\x0000");
    bytes
}

/// A zip archive written as F16 weights: values that are small and finite, and a program finds a pickle in them.
fn zip_as_weights() -> Vec<u8> {
    let name = b"archive/data.pkl";
    let content = b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.";
    let entry: [&[u8]; 5] = [&[0; 4], &size(content), &size(content), &short(name), &[0; 2]];
    let local = [b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0", &entry.concat()[..], name, content].concat();
    let directory = [b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0!\0", &entry.concat()[..], &[0; 14], name].concat();
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &size(&directory)[..], &size(&local), &[0; 2]].concat();
    [local, directory, end].concat()
}

fn size(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_le_bytes()
}

fn short(bytes: &[u8]) -> [u8; 2] {
    (bytes.len() as u16).to_le_bytes()
}

fn hidden(group: &mut Group<'_>) {
    let zip = zip_as_weights();
    // A layer of 128 x 16 values of two bytes has room for it, at its end or at its start.
    let architecture = r#"{"kind":"mlp","hidden":[128]}"#;
    let with = |order: [usize; 4], tensor: usize, dtype: &str, at_end: bool| {
        let mut all = tensors(architecture, dtype);
        let data = &mut all[tensor].data;
        let start = if at_end { data.len() - zip.len() } else { 0 };
        data[start..start + zip.len()].copy_from_slice(&zip);
        let ordered: Vec<Tensor> = order.iter().map(|index| all[*index].clone()).collect();
        Package::new(config(architecture), save(&ordered))
    };
    // F16 has 32,752 values below a million; of F32 and BF16 some bytes of the archive would be too large.
    group.refused("an archive at the end of the weights", Code::NotSafetensors, with([3, 2, 1, 0], 0, "F16", true));
    group.refused("an archive in the middle of the weights", Code::NotSafetensors, with([0, 1, 2, 3], 0, "F16", true));
    group.refused("an archive at the start of the weights", Code::NotSafetensors, with([0, 1, 2, 3], 0, "F16", false));
}

/// Headers whose length looks like another format's first bytes are good.
fn lookalikes(group: &mut Group<'_>) {
    let file = save(&tensors(MLP, "F32"));
    let length = u64::from_le_bytes(std::array::from_fn(|index| file[index])) as usize;
    for (padded, what) in
        [(0x0280, "pickle 2"), (0x0380, "pickle 3"), (0x0480, "pickle 4"), (0x0580, "pickle 5"), (0x8b1f, "gzip")]
    {
        let spaces = vec![b' '; padded - length];
        let json = [&file[8..8 + length], &spaces].concat();
        let weights = crate::package::framed(json, &file[8 + length..]);
        group.admitted(
            format!("a header of {padded} bytes, whose length begins like {what}"),
            Package::new(config(MLP), weights),
        );
    }
}
