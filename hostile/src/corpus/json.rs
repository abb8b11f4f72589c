//! Rows 4, 9 and 12: JSON that two readers read differently, that is deep, or that carries something else.

use super::Group;
use crate::package::{Package, element_bytes, entry, framed, named, save, tensors};
use crate::rules::{FAMILIES, MLP, config};
use protocol::submission::Code;

const INVALID: Code = Code::HeaderInvalid;

pub(super) fn fill(group: &mut Group<'_>) {
    texts(group);
    duplicates(group);
    entries(group);
    metadata(group);
    deep(group);
    many(group);
}

/// The good tensors, with `members` before and after their entries. `data` follows theirs.
fn with_members(before: &[&str], after: &[&str], data: &[u8]) -> Package {
    let file = save(&tensors(MLP, "F32"));
    let length = u64::from_le_bytes(std::array::from_fn(|index| file[index])) as usize;
    let (json, tensors) = file[8..].split_at(length);
    let inner = std::str::from_utf8(&json[1..length - 1]).expect("a header is text, because `save` wrote it");
    let members: Vec<&str> = before.iter().copied().chain([inner]).chain(after.iter().copied()).collect();
    header(&format!("{{{}}}", members.join(",")), &[tensors, data].concat())
}

fn header(json: &str, data: &[u8]) -> Package {
    Package::new(config(MLP), framed(json, data))
}

/// The good tensors with the entry of `1.bias`, of two values, written as `text`.
fn with_entry(text: &str) -> Package {
    let tensors = tensors(MLP, "F32");
    let mut end = 0;
    let members: Vec<String> = tensors
        .iter()
        .map(|tensor| {
            let start = end;
            end += tensor.data.len() as u64;
            let text = text.replace("START", &start.to_string()).replace("END", &end.to_string());
            let usual = entry(&tensor.dtype, &tensor.shape, start, end);
            named(&tensor.name, if tensor.name == "1.bias" { &text } else { &usual })
        })
        .collect();
    let data: Vec<u8> = tensors.into_iter().flat_map(|tensor| tensor.data).collect();
    header(&format!("{{{}}}", members.join(",")), &data)
}

fn texts(group: &mut Group<'_>) {
    let one = entry("F32", &[1], 0, 4);
    for (name, text, code) in [
        ("no tensors", "{}".to_owned(), INVALID),
        ("no tensors but metadata", r#"{"__metadata__":{}}"#.to_owned(), INVALID),
        ("a list", "[]".to_owned(), Code::NotSafetensors),
        ("a string", r#""a""#.to_owned(), Code::NotSafetensors),
        ("a number", "1".to_owned(), Code::NotSafetensors),
        ("null", "null".to_owned(), Code::NotSafetensors),
        ("not closed", format!(r#"{{"a":{one}"#), INVALID),
        ("only opened", "{".to_owned(), INVALID),
        ("a comma at the end", format!(r#"{{"a":{one},}}"#), INVALID),
        ("no comma", format!(r#"{{"a":{one} "b":{one}}}"#), INVALID),
        ("single quotes", "{'a':1}".to_owned(), INVALID),
        ("a name without quotes", format!("{{a:{one}}}"), INVALID),
        ("a comment", format!(r#"{{"a":{one}/* b */}}"#), INVALID),
        ("a line comment", format!("{{//\n\"a\":{one}}}"), INVALID),
        ("half a surrogate", format!(r#"{{"\ud800":{one}}}"#), INVALID),
        ("a bad escape", format!(r#"{{"\x61":{one}}}"#), INVALID),
        ("a control character", format!("{{\"a\n\":{one}}}"), INVALID),
        ("infinity", r#"{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,4]}}"#.to_owned(), INVALID),
        (
            "10,000 digits",
            format!(r#"{{"a":{}}}"#, entry("F32", &[7], 0, 4).replace('7', &"7".repeat(10_000))),
            INVALID,
        ),
        ("1e400", format!(r#"{{"a":{}}}"#, entry("F32", &[7], 0, 4).replace('7', "1e400")), INVALID),
    ] {
        group.refused(name, code, header(&text, &[0; 4]));
    }
    group.refused("no UTF-8", INVALID, Package::new(config(MLP), framed(b"{\"\xff\":1}", &[])));
    group.refused("UTF-16", Code::NotSafetensors, Package::new(config(MLP), framed(b"\xff\xfe{\0}\0", &[])));
    group.refused("overlong UTF-8", INVALID, Package::new(config(MLP), framed(b"{\"\xc0\xae\":1}", &[])));
    let file = String::from_utf8_lossy(&save(&tensors(MLP, "F32"))[8..]).into_owned();
    let end = file.find("}}").map_or(0, |at| at + 2);
    let spaced = file[..end].replace(',', ",\n\t ");
    let data: Vec<u8> = tensors(MLP, "F32").into_iter().flat_map(|tensor| tensor.data).collect();
    group.admitted("white space between members", header(&spaced, &data));
}

fn duplicates(group: &mut Group<'_>) {
    let first = entry("F32", &[2, 16], 0, 128);
    group.refused("a tensor twice", INVALID, with_members(&[&named("1.weight", &first)], &[], &[]));
    group.refused("a tensor twice, far apart", INVALID, with_members(&[], &[&named("1.weight", &first)], &[]));
    group.refused(
        "a tensor twice, once escaped",
        INVALID,
        with_members(&[], &[&format!(r#""1\u002eweight":{first}"#)], &[]),
    );
    let other = entry("F32", &[2, 16], 172, 300);
    group.refused(
        "a tensor twice, with other data",
        INVALID,
        with_members(&[], &[&named("1.weight", &other)], &[0; 128]),
    );
    group.refused("metadata twice", INVALID, with_members(&[r#""__metadata__":{}"#], &[r#""__metadata__":{}"#], &[]));
    for field in [r#""dtype":"F32""#, r#""shape":[2]"#, r#""data_offsets":[START,END]"#, r#""dtype":"F16""#] {
        let text = format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":[START,END],{field}}}"#);
        group.refused(format!("a tensor with {field} twice"), INVALID, with_entry(&text));
    }
    group.refused("a metadata key twice", INVALID, with_members(&[r#""__metadata__":{"a":"1","a":"2"}"#], &[], &[]));
}

fn entries(group: &mut Group<'_>) {
    group.admitted("fields in another order", with_entry(r#"{"data_offsets":[START,END],"shape":[2],"dtype":"F32"}"#));
    for (name, text) in [
        ("an entry as a list", r#"["F32",[2],[START,END]]"#),
        ("an entry that is null", "null"),
        ("an entry that is a string", r#""F32""#),
        ("an entry that is a number", "1"),
        ("an empty entry", "{}"),
        ("no type", r#"{"shape":[2],"data_offsets":[START,END]}"#),
        ("no shape", r#"{"dtype":"F32","data_offsets":[START,END]}"#),
        ("no offsets", r#"{"dtype":"F32","shape":[2]}"#),
        ("an unknown field", r#"{"dtype":"F32","shape":[2],"data_offsets":[START,END],"strides":[1]}"#),
        ("a field in capitals", r#"{"DTYPE":"F32","shape":[2],"data_offsets":[START,END]}"#),
        ("a type that is a number", r#"{"dtype":11,"shape":[2],"data_offsets":[START,END]}"#),
        ("a type that is null", r#"{"dtype":null,"shape":[2],"data_offsets":[START,END]}"#),
        ("a shape that is a number", r#"{"dtype":"F32","shape":2,"data_offsets":[START,END]}"#),
        ("a shape that is text", r#"{"dtype":"F32","shape":"2","data_offsets":[START,END]}"#),
        ("a shape of text", r#"{"dtype":"F32","shape":["2"],"data_offsets":[START,END]}"#),
        ("a shape of fractions", r#"{"dtype":"F32","shape":[2.0],"data_offsets":[START,END]}"#),
        ("a shape in powers", r#"{"dtype":"F32","shape":[2e0],"data_offsets":[START,END]}"#),
        ("a shape below zero", r#"{"dtype":"F32","shape":[-2],"data_offsets":[START,END]}"#),
        ("a shape with a leading zero", r#"{"dtype":"F32","shape":[02],"data_offsets":[START,END]}"#),
        ("a shape of 2^64", r#"{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[START,END]}"#),
        ("a shape in a list", r#"{"dtype":"F32","shape":[[2]],"data_offsets":[START,END]}"#),
        ("a shape that is an object", r#"{"dtype":"F32","shape":{"0":2},"data_offsets":[START,END]}"#),
        ("a shape of null", r#"{"dtype":"F32","shape":[null],"data_offsets":[START,END]}"#),
        ("a shape of true", r#"{"dtype":"F32","shape":[true],"data_offsets":[START,END]}"#),
        ("one offset", r#"{"dtype":"F32","shape":[2],"data_offsets":[START]}"#),
        ("three offsets", r#"{"dtype":"F32","shape":[2],"data_offsets":[START,END,END]}"#),
        ("no offset", r#"{"dtype":"F32","shape":[2],"data_offsets":[]}"#),
        ("offsets as text", r#"{"dtype":"F32","shape":[2],"data_offsets":["START","END"]}"#),
        ("offsets in fractions", r#"{"dtype":"F32","shape":[2],"data_offsets":[START.0,END.0]}"#),
        ("an offset below zero", r#"{"dtype":"F32","shape":[2],"data_offsets":[-8,END]}"#),
        ("an offset of minus zero", r#"{"dtype":"F32","shape":[2],"data_offsets":[-0,END]}"#),
        ("an offset of 2^64", r#"{"dtype":"F32","shape":[2],"data_offsets":[START,18446744073709551616]}"#),
        ("offsets as an object", r#"{"dtype":"F32","shape":[2],"data_offsets":{"0":START,"1":END}}"#),
    ] {
        group.refused(name, INVALID, with_entry(text));
    }
}

fn metadata(group: &mut Group<'_>) {
    let of = |text: &str| with_members(&[&format!(r#""__metadata__":{text}"#)], &[], &[]);
    let strings = |count: usize, key: usize, value: usize| {
        let pairs: Vec<String> =
            (0..count).map(|index| format!(r#""{index:0key$}":"{}""#, "x".repeat(value))).collect();
        format!("{{{}}}", pairs.join(","))
    };
    group.admitted("metadata as PyTorch writes it", of(r#"{"format":"pt"}"#));
    for (name, text) in [
        ("metadata of 17 entries", strings(17, 2, 2)),
        ("metadata with a key of 257 bytes", strings(1, 257, 1)),
        ("metadata with a value of 100 KB", strings(1, 1, 100_000)),
        ("metadata of 20,000 entries", strings(20_000, 5, 0)),
        ("metadata that is null", "null".to_owned()),
        ("metadata that is a list", "[]".to_owned()),
        ("metadata that is text", r#""pt""#.to_owned()),
        ("metadata with a number", r#"{"a":1}"#.to_owned()),
        ("metadata with an object", r#"{"a":{}}"#.to_owned()),
        ("metadata with null", r#"{"a":null}"#.to_owned()),
        ("metadata with a number that no float holds", r#"{"a":1e400}"#.to_owned()),
    ] {
        group.admitted(name, of(&text));
    }
    for (name, text) in [
        ("metadata that isn't closed", r#"{"a":{"b":1}"#),
        ("metadata that is no JSON", "pt"),
        ("metadata with a bad escape", r#"{"a":"\x61"}"#),
    ] {
        group.refused(name, INVALID, of(text));
    }
}

fn deep(group: &mut Group<'_>) {
    for depth in [100, 127, 128, 129, 1_000, 100_000] {
        let nested = |open: &str, close: &str| format!("{}{}", open.repeat(depth), close.repeat(depth));
        let lists = nested("[", "]");
        group.refused(
            format!("a shape {depth} lists deep"),
            INVALID,
            with_entry(&format!(r#"{{"dtype":"F32","shape":{lists},"data_offsets":[START,END]}}"#)),
        );
        group.refused(
            format!("an unknown field {depth} lists deep"),
            INVALID,
            with_entry(&format!(r#"{{"x":{lists}}}"#)),
        );
        group.admitted(
            format!("metadata {depth} lists deep"),
            with_members(&[&format!(r#""__metadata__":{{"a":{lists}}}"#)], &[], &[]),
        );
    }
    let objects = format!("{}1{}", r#"{"a":"#.repeat(40_000), "}".repeat(40_000));
    group.refused("40,000 objects deep", INVALID, header(&objects, &[]));
    group.refused(
        "250,000 lists that nobody closes",
        INVALID,
        header(&format!("{{\"a\":{}}}", "[".repeat(250_000)), &[]),
    );
}

fn many(group: &mut Group<'_>) {
    let members = |count: u64| {
        let bytes = element_bytes("F16") as u64;
        let entry = |index: u64| {
            format!(
                r#""{index}":{{"dtype":"F16","shape":[1],"data_offsets":[{},{}]}}"#,
                bytes * index,
                bytes * (index + 1)
            )
        };
        (0..count).map(entry).collect::<Vec<_>>().join(",")
    };
    let file = |count: u64| header(&format!("{{{}}}", members(count)), &vec![0; 2 * count as usize]);
    group.refused("4,000 tensors that nobody asked for", Code::TensorMissing, file(4_000));
    group.refused("4,097 tensors", INVALID, file(4_097));
    group.refused("5,000 tensors", Code::HeaderTooLarge, file(5_000));
    group.refused(
        "10,000 times the same name",
        INVALID,
        header(&format!("{{{}}}", [r#""a":1"#].repeat(10_000).join(",")), &[]),
    );
    let text = format!("{{{}", " ".repeat(200_000));
    group.refused("200 KB of spaces and no end", INVALID, header(&text, &[]));
    let quote = format!("{{\"{}", "a".repeat(200_000));
    group.refused("200 KB of a name and no end", INVALID, header(&quote, &[]));
    // A message that quotes the stranger must not be as long as what he sent (see names.rs for what it holds).
    let field = "x".repeat(200_000);
    group.refused("an unknown field of 200 KB", INVALID, with_entry(&format!(r#"{{"{field}":1}}"#)));
    for (family, architecture) in FAMILIES {
        let twice = save(&tensors(architecture, "F32"));
        let length = u64::from_le_bytes(std::array::from_fn(|index| twice[index])) as usize;
        let inner = &twice[9..8 + length - 1];
        let json = [b"{", inner, b",", inner, b"}"].concat();
        let package = Package::new(config(architecture), framed(json, &twice[8 + length..]));
        group.refused(format!("every tensor of a {family} twice"), INVALID, package);
    }
}
