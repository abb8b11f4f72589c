//! Words that try to be more than words (rows 10, 18, 44 and 55, incident E33): paths out of the store, markup for pages,
//! line breaks and terminal codes for logs.

use super::hall::{OPERATOR_TOKEN, hall};
use super::package::{Package, declaration};
use super::stranger::{Answer, COMPETITION, SUBMISSIONS, Stranger, raw, send};
use crate::support::{stderr, stdout};
use protocol::api::{SubmissionCreated, TokenCreated};
use serde_json::{Value, json};
use std::fs;

/// What only the validator's own folder and machine hold.
fn secrets() -> Vec<String> {
    let home = &hall().home;
    let hotkey: Value = serde_json::from_str(&fs::read_to_string(home.join("hotkey")).unwrap()).unwrap();
    let fields =
        hotkey.as_object().unwrap().iter().filter(|(name, _)| name.contains("secret") || name.contains("private"));
    let mut secrets: Vec<String> = fields.map(|(_, value)| value.as_str().unwrap().to_owned()).collect();
    assert!(!secrets.is_empty(), "the hotkey's file has a secret in it");
    let log_key = fs::read_to_string(home.join("log.key")).unwrap();
    secrets.push(log_key.trim().to_owned());
    secrets.push(OPERATOR_TOKEN.to_owned());
    secrets.extend(["root:x:0:", "SQLite format 3"].map(str::to_owned));
    secrets
}

/// Where an address has a place for a name.
const ROUTES: [&str; 31] = [
    "/{}",
    "/api/v1/competitions/{}",
    "/api/v1/competitions/{}/leaderboard",
    "/api/v1/competitions/{}/leaderboard.csv",
    "/api/v1/competitions/{}/rounds",
    "/api/v1/competitions/fashion-mnist/rounds/{}",
    "/api/v1/submissions/{}",
    "/api/v1/submissions/{}/receipt",
    "/api/v1/miners/{}",
    "/api/v1/copies/{}/{}",
    "/api/v1/objects/sha256/{}",
    "/log/{}",
    "/log/tile/entries/{}",
    "/competitions/{}",
    "/competitions/fashion-mnist/rounds/{}",
    "/submissions/{}",
    "/miners/{}",
    "/copies/{}/{}",
    "/badge/{}",
    "/badge/submissions/{}",
    "/assets/{}",
    "/assets/fonts/{}",
    "/api/models/{}/{}",
    "/api/models/arena/fashion-mnist/revision/{}",
    "/api/models/arena/fashion-mnist/tree/main/{}",
    "/api/datasets/arena/{}",
    "/api/datasets/arena/fashion-mnist/tree/main/{}",
    "/{}/fashion-mnist/resolve/main/config.json",
    "/teachers/fashion-mnist/resolve/main/{}",
    "/datasets/arena/fashion-mnist/resolve/main/{}",
    "/arena/fashion-mnist/resolve/{}/config.json",
];

/// Ways to say "out of here", none of which a client that normalises addresses would send.
const OUT: [&str; 16] = [
    "..",
    "../../../validator.toml",
    "../../../../../../../../etc/passwd",
    "..%2f..%2f..%2fhotkey",
    "%2e%2e/%2e%2e/hotkey",
    "%2e%2e%2f%2e%2e%2flog.key",
    "..%5c..%5chotkey",
    "..\\..\\hotkey",
    "....//....//hotkey",
    "%252e%252e%252fhotkey",
    "%c0%ae%c0%ae%c0%afhotkey",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "..;/..;/data.sqlite",
    "data.sqlite%00.safetensors",
    "%ff%fe",
];

#[test]
fn no_address_leads_out_of_the_store_whatever_stands_in_the_place_of_a_name() {
    let secrets = secrets();
    let nothing_inside = |what: &str, answer: &Answer| {
        let text = answer.text();
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{what} gave a secret away: {text}");
        // A redirect may lead to one of our own pages and nowhere else.
        let location = answer.head.lines().find_map(|line| line.strip_prefix("location: "));
        assert!(location.is_none_or(|to| to.starts_with('/') && !to.starts_with("//")), "{what} leads to {location:?}");
        let found = answer.status;
        assert!((300..500).contains(&found), "{what} was answered with {found}: {}", answer.text());
    };
    let stranger = Stranger::new(hall());
    for route in ROUTES {
        for out in OUT {
            let target = route.replace("{}", out);
            nothing_inside(&target, &stranger.get(&target));
        }
    }
    for out in OUT {
        for (method, target) in [
            ("PUT", format!("/api/v1/uploads/{out}")),
            ("PUT", format!("/api/v1/objects/sha256/{out}")),
            ("POST", format!("/api/v1/submissions/{out}/complete")),
            ("DELETE", format!("/api/v1/tokens/{out}")),
            ("POST", format!("/api/v1/operator/submissions/{out}/requeue")),
            ("POST", format!("/api/models/arena/fashion-mnist/commit/{out}")),
            ("GET", format!("http://{}/{out}", hall().address())),
        ] {
            nothing_inside(&target, &stranger.signed(method, &target, b""));
        }
    }
    assert_eq!(stranger.get("/healthz").status, 200);
    let written = fs::read_dir(&hall().home).unwrap().flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
    let known =
        ["ballast", "data.sqlite", "hotkey", "ledger", "log.key", "objects", "serving-at", "tmp", "validator.toml"];
    let strange = written.iter().find(|name| !known.iter().any(|known| name.to_string_lossy().starts_with(known)));
    assert_eq!(strange, None, "nothing new lies in the validator's folder");
}

/// The same through the Hub's door, where a file brings its own name with it.
#[test]
fn a_commit_whose_files_are_called_after_other_places_writes_none_of_them() {
    let mallory = Stranger::new(hall());
    let token = token(&mallory, "commits").token;
    let package = Package::fixture("mlp");
    let before = fs::read(hall().home.join("hotkey")).unwrap();
    let unexpected = ["../../hotkey", "/etc/cron.d/retort", "model.safetensors/../../x", "..\\hotkey", "a\nb"]
        .map(|path| (path, "file_unexpected"));
    // What lies in a folder stays where it is: the weights are missing then.
    for (path, code) in unexpected.into_iter().chain([(".git/config", "file_missing")]) {
        let lines = [("config.json", &package.config), (path, &package.weights)].map(|(path, bytes)| {
            let value = json!({ "content": base64(bytes), "path": path, "encoding": "base64" });
            json!({ "key": "file", "value": value }).to_string() + "\n"
        });
        let headers = [("Authorization", format!("Bearer {token}")), ("Content-Type", "application/x-ndjson".into())];
        let target = "/api/models/arena/fashion-mnist/commit/main";
        let answer = send(hall().address(), "POST", target, &headers, lines.concat().as_bytes());
        assert_eq!(answer.refusal(), (422, code.into()), "{path:?}");
        assert!(!answer.head.contains("\nb"), "{}", answer.head);
    }
    assert!(mallory.entered().is_empty());
    assert_eq!(fs::read(hall().home.join("hotkey")).unwrap(), before);
    assert!(hall().forgets_uploads());
}

/// A line of a log, an entry of a page and a command for a terminal, all in one name.
const EVIL: &str = "<script>alert(1)</script>\"'\u{1b}[2J\u{202e}\r\n{\"level\":\"INFO\",\"forged\":\"line\"}";

#[test]
fn what_a_stranger_writes_is_text_on_pages_and_terminals_and_one_line_in_the_log() {
    let mallory = Stranger::new(hall());
    // In the announcement of a file, in the names inside the weights, in the description, in headers and in addresses.
    let sound = Package::fixture("mlp");
    let files = [sound.declarations(), vec![declaration(EVIL, b"x")]].concat();
    let body = json!({ "competition": COMPETITION, "files": files }).to_string();
    let refused = mallory.signed("POST", SUBMISSIONS, body.as_bytes());
    assert_eq!(refused.refusal().0, 422);
    let body = json!({ "competition": EVIL, "files": sound.declarations() }).to_string();
    assert_eq!(mallory.signed("POST", SUBMISSIONS, body.as_bytes()).refusal(), (422, "invalid_body".into()));
    let named = sound.clone().holding(|weights| {
        let length = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&weights[8..8 + length]).unwrap();
        let tensor = header.as_object_mut().unwrap().remove("1.bias").unwrap();
        header[EVIL] = tensor;
        let header = header.to_string();
        let data = weights.split_off(8 + length);
        *weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    });
    let described = sound.described(|config| config[EVIL] = json!(EVIL));
    for package in [named, described] {
        let id = mallory.submit(&package);
        let reason = mallory.end(&id).reason.unwrap();
        assert!(!reason.detail.chars().any(|char| char.is_control() || char == '\u{202e}'), "{:?}", reason.detail);
        let page = mallory.get(&format!("/submissions/{id}"));
        assert_eq!(page.status, 200);
        assert!(!page.text().contains("<script>alert") && !page.text().contains('\u{1b}'), "{}", page.text());
        assert!(page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
        let shown = hall().service.run(&["miner", "status", &id]);
        let shown = stdout(&shown) + &stderr(&shown);
        assert!(shown.contains(reason.code.as_str()) && !shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
    }
    let evil = "<script>alert(1)</script>\"'\t{\"forged\":\"header\"}";
    for name in ["User-Agent", "Referer", "X-Request-Id", "X-Forwarded-For", "Cookie", "Origin", "Authorization"] {
        let answer = send(hall().address(), "GET", "/competitions/nowhere", &[(name, evil.to_owned())], b"");
        assert!(answer.status == 404 && !answer.text().contains("<script>"), "{name}: {}", answer.text());
        assert!(!answer.head.contains("<script>"), "{name} comes back: {}", answer.head);
    }
    for target in ["/competitions/%3Cscript%3Ealert(1)%3C%2Fscript%3E%0d%0aSet-Cookie:x=1", "/%1b[2J%0a{\"forged\":1}"]
    {
        let answer = mallory.get(target);
        assert!(!answer.head.to_lowercase().contains("set-cookie"), "{}", answer.head);
        assert!((400..500).contains(&answer.status) && !answer.text().contains("<script>"), "{}", answer.text());
    }
    for line in ["GET /\x1b[2J HTTP/1.1", "GET / HTTP/1.1\r\nX-Evil: a\0b", "GET /\r HTTP/1.1"] {
        let answer = raw(hall().address(), format!("{line}\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(answer.status, 400, "{line:?} is no HTTP");
    }

    // What the operator reads: one JSON object a line, and none of it anybody's but the service's.
    assert!(hall().logs(&["rejected submission", "config_invalid"]));
    for line in hall().service.log() {
        let record: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the log: {line}"));
        assert!(record["timestamp"].is_string() && record.get("forged").is_none(), "{line}");
        assert!(!line.chars().any(|char| char.is_control() || char == '\u{202e}'), "{line:?}");
        assert!(!line.contains("alert(1)</script>\\\"'\\t"), "what a header says is nobody's name: {line}");
    }
}

/// Row 28 and E32: whoever reads the log of a whole day at a fine level can't act as anybody.
#[test]
fn the_log_of_an_attack_holds_no_key_and_no_token() {
    let mallory = Stranger::new(hall());
    let token = token(&mallory, "<b>token</b>");
    assert_eq!(token.view.label, "<b>token</b>", "a label is what its owner calls it");
    let headers = [("Authorization", format!("Bearer {}", token.token))];
    assert_eq!(send(hall().address(), "GET", "/api/whoami-v2", &headers, b"").status, 200);
    let guess = [("Authorization", "Bearer a-guess-of-a-stranger".to_owned())];
    assert_eq!(
        send(hall().address(), "GET", "/operator", &guess, b"").status,
        403,
        "though it is asked from this machine"
    );
    let created: SubmissionCreated = mallory.announce(&Package::fixture("mlp").holding(|bytes| bytes.push(2))).json();
    let upload = &created.uploads[0].url;
    assert_eq!(mallory.put(upload, b"wrong").refusal().0, 422);
    assert!(hall().logs(&["/api/v1/uploads/…"]), "it was logged without its token");
    let mut secrets = secrets();
    secrets.truncate(secrets.len() - 2);
    secrets.extend([token.token, "a-guess-of-a-stranger".into(), upload.rsplit('/').next().unwrap().to_owned()]);
    for line in hall().service.log() {
        assert!(!secrets.iter().any(|secret| line.contains(secret)), "a secret is in the log");
    }
}

/// A token for clients that can't sign.
fn token(miner: &Stranger<'_>, label: &str) -> TokenCreated {
    let body = json!({ "label": label, "expires_in_seconds": 3_600 }).to_string();
    let made = miner.signed("POST", "/api/v1/tokens", body.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

/// RFC 4648, as commits carry files.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]);
            text.push(if place > three.len() { '=' } else { digit });
        }
    }
    text
}
