//! Rows 10 and 55: names that are paths, that end early, that look like others, or that write to a terminal or a page.

use super::Group;
use crate::package::{Package, Tensor, save, tensors};
use crate::rules::{MLP, config};
use protocol::submission::Code;

pub(super) fn fill(group: &mut Group<'_>) {
    let long = "a".repeat(257);
    let longer = "a".repeat(100_000);
    let traversal = "../".repeat(20);
    for name in [
        "",
        " ",
        "../../etc/passwd\0",
        "..\\..\\windows\\win.ini",
        "C:\\weights",
        "%2e%2e%2fetc",
        "~root",
        "$HOME",
        "`id`",
        "$(id)",
        "a;id",
        "a|id",
        "a\0b",
        "\0",
        "1.weight\0",
        "1.weight ",
        " 1.weight",
        "1.weight\n",
        "a\r\nSet-Cookie: b=c",
        "a\tb",
        "\u{1b}[2J\u{1b}[1;1Hgone",
        "\u{1b}]0;title\u{7}",
        "\u{202e}thgiew.1",
        "1.we\u{200b}ight",
        "\u{feff}1.weight",
        "1.weig\u{443}t",
        "\u{ff11}.weight",
        "1\u{2024}weight",
        "e\u{301}",
        "\u{1f600}",
        "名前",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><b>",
        "'; DROP TABLE submissions; --",
        "=cmd|' /C calc'!A0",
        "{{7*7}}",
        "%s%s%n",
        "${jndi:ldap://host/a}",
        "a,b",
        "a+b",
        "a[0]",
        "a b",
        &long,
        &longer,
    ] {
        let shown: String = name.chars().take(40).collect();
        let package = with(name);
        let name = format!("an extra tensor called {shown:?}, {} bytes", name.len());
        group.refused(name, Code::HeaderInvalid, package);
    }
    // Names are never paths here, so what looks like one is a tensor that nothing reads.
    for name in [
        "../../etc/passwd",
        "/etc/passwd",
        "//host/share",
        "file:///etc/passwd",
        "a/../b",
        "./a",
        "a:b",
        "a-b",
        &traversal,
    ] {
        group.refused(format!("an extra tensor called {name:?}"), Code::TensorUnexpected, with(name));
    }
    for name in ["__metadata", "_metadata_", "__METADATA__", "1.WEIGHT", "a.b.c", ".", "..", "...", "__proto__", "0"] {
        group.refused(format!("an extra tensor called {name:?}"), Code::TensorUnexpected, with(name));
    }
    group.refused("an extra tensor called by 256 letters", Code::TensorUnexpected, with(&"a".repeat(256)));
    // Metadata means nothing, so its bytes are nobody's.
    group.refused("a tensor called `__metadata__`", Code::DataLength, with("__metadata__"));
    for name in ["1.Weight", "l.weight", "1.weight.", "01.weight", "1_weight", "1..weight"] {
        let mut changed = tensors(MLP, "F32");
        changed[0].name = name.into();
        group.refused(
            format!("`1.weight` called {name:?}"),
            Code::TensorMissing,
            Package::new(config(MLP), save(&changed)),
        );
    }
}

/// The good tensors and one more.
fn with(name: &str) -> Package {
    let mut all = tensors(MLP, "F32");
    all.push(Tensor::zeros(name, "F32", &[1]));
    Package::new(config(MLP), save(&all))
}
