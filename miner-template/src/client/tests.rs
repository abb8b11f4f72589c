//! The client against validators that are busy, restless, or no validators.

use super::error::typed_at;
use super::transport::unix_ns;
use super::*;
use protocol::api::Upload;
use std::io::Write;
use std::net::TcpListener;
use std::time::{Instant, UNIX_EPOCH};

/// A server that gives these answers, one a connection; its address.
fn answering(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

fn answer(status: &str, retry_after: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{retry_after}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

#[test]
fn hints_ask_the_validator_that_was_asked() {
    let hint =
        "`retort competitions` lists them, as GET /api/v1/competitions does; `retort keys new FILE` makes a key.";
    let typed = typed_at("http://h:1", hint);
    assert!(typed.starts_with("`retort competitions --validator http://h:1` lists them"), "{typed}");
    assert!(typed.ends_with("`retort keys new FILE` makes a key."), "{typed}");
    assert_eq!(typed_at(LOCAL, hint), "`retort competitions` lists them; `retort keys new FILE` makes a key.");
}

#[test]
fn a_busy_validator_is_asked_again_when_it_says_so() {
    let busy = answer("429 Too Many Requests", "retry-after: 1\r\n", "{}");
    let client = Client::new(&answering(vec![busy, answer("200 OK", "", "[7]")]));
    let began = Instant::now();
    assert_eq!(client.get_json::<Vec<u32>>("/").unwrap(), [7]);
    assert!(began.elapsed() >= Duration::from_secs(1), "it waited as it was told");
}

/// A validator an hour ahead of this machine, which says so in its `Date`, and holds signatures against its own clock.
fn an_hour_ahead(differs_seconds: i64) -> (String, std::thread::JoinHandle<Vec<i64>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let mut ages = Vec::new();
        while ages.last().is_none_or(|age: &i64| !(-1..10).contains(age)) && ages.len() < 3 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
            let now = unix_ns() + i128::from(differs_seconds) * 1_000_000_000;
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_nanos(now as u64));
            let nonce = head.lines().find_map(|line| line.strip_prefix("x-bittensor-nonce: "));
            let age = nonce.map(|nonce| ((now - nonce.trim().parse::<i128>().unwrap()) / 1_000_000_000) as i64);
            ages.extend(age);
            let stale = r#"{"type":"/problems/stale_request","title":"t","status":401,"code":"stale_request","detail":"d","hint":"h"}"#;
            let (status, body) = match age {
                Some(age) if !(-1..10).contains(&age) => ("401 Unauthorized", stale),
                _ => ("200 OK", "7"),
            };
            stream.write_all(answer(status, &format!("date: {date}\r\n"), body).as_bytes()).unwrap();
        }
        ages
    });
    (address, serving)
}

#[test]
fn a_validator_whose_clock_differs_is_signed_for_by_its_own() {
    for differs in [3_600, -3_600, 15, -5] {
        let (base, serving) = an_hour_ahead(differs);
        let keypair = Keypair::from_seed(&[1; 32]);
        let answered: u32 = Client::new(&base).post("/api/v1/x", &7, &keypair, &keypair.hotkey()).unwrap();
        let ages = serving.join().unwrap();
        assert_eq!((answered, ages.len()), (7, 2), "{differs}: {ages:?}");
        assert!((ages[0] - differs).abs() <= 1, "{ages:?}");
    }
}

#[test]
fn a_long_wait_is_left_to_the_miner() {
    let tomorrow = answer("429 Too Many Requests", "retry-after: 86400\r\n", "no");
    let client = Client::new(&answering(vec![tomorrow]));
    let refused = client.get_json::<Vec<u32>>("/").unwrap_err();
    assert!(matches!(refused, ClientError::Strange { status: 429, .. }), "{refused}");
}

#[test]
fn addresses_are_taken_as_people_write_them() {
    let written = ["http://127.0.0.1:7070", "127.0.0.1:7070", " http://127.0.0.1:7070/ ", "localhost:7070/"];
    let read = written.map(|base| Client::new(base).base().to_owned());
    let same = "http://127.0.0.1:7070";
    assert_eq!(read, [same, same, same, "http://localhost:7070"]);
    for (written, read) in [
        ("", LOCAL),
        ("  ", LOCAL),
        ("HTTP://h:1", "http://h:1"),
        ("http://h:1/competitions/digits", "http://h:1"),
        ("h:1/competitions/digits/rounds/2?x=1", "http://h:1"),
        ("https://h/retort/submissions/01ARZ3NDEKTSV4RRFFQ69G5FAV/report", "https://h/retort"),
        ("h:1/hf", "http://h:1"),
        ("h:1/hf/", "http://h:1"),
        ("h:1/api/v1", "http://h:1"),
        ("https://h/arena", "https://h/arena"),
        ("https://h/arena/api/v1/competitions/x", "https://h/arena"),
        ("h:1/arena/digits/tree/main", "http://h:1"),
        ("h:1/datasets/arena/digits", "http://h:1"),
        ("h:1?x", "http://h:1"),
        ("h:1/#y", "http://h:1"),
        ("::1", "http://[::1]"),
        ("[::1]:7070", "http://[::1]:7070"),
        ("http://::1/", "http://[::1]"),
        ("[::1]", "http://[::1]"),
        ("fe80::1", "http://[fe80::1]"),
        ("2001:db8:0:1:2:3:4:5", "http://[2001:db8:0:1:2:3:4:5]"),
        ("2001:db8::a:b", "http://[2001:db8::a:b]"),
        // Too much for a group, or a group too many: only a port is left.
        ("::1:17171", "http://[::1]:17171"),
        ("https://2001:db8:0:1:2:3:4:5:7070/competitions/x", "https://[2001:db8:0:1:2:3:4:5]:7070"),
        ("http:7070", "http://http:7070"),
    ] {
        assert_eq!(address(written).as_deref(), Ok(read), "{written:?}");
    }
    for (written, says) in [
        ("http:/127.0.0.1:7070", "write http://127.0.0.1:7070"),
        ("http://::1:7171", "write [::1]:7171, or [::1:7171] if"),
        ("::1:7171/competitions/digits", "write [::1]:7171"),
        ("2001:db8::1:7070", "write [2001:db8::1]:7070"),
        ("[::1:7070", "write http://HOST:PORT"),
        ("https:127.0.0.1", "write https://127.0.0.1"),
        ("ftp://h", "write http://"),
        ("http://", "write http://HOST:PORT"),
        ("h:port", "write http://HOST:PORT"),
        ("h h", "write http://HOST:PORT"),
    ] {
        let refused = address(written).unwrap_err();
        assert!(refused.contains(says), "{written:?}: {refused}");
    }
    for address in ["http://h:1/a/competitions/digits?fbclid=x", "h:1/a/competitions/digits/#board"] {
        let (client, id) = Client::for_competition(address).unwrap();
        assert_eq!((client.base(), id.to_string()), ("http://h:1/a", "digits".to_owned()));
    }
}

#[test]
fn who_can_t_be_reached_may_have_been_asked_in_another_way() {
    let plain = answering(vec![answer("400 Bad Request", "", "no")]);
    let host = plain.trim_start_matches("http://");
    let wrong = Client::new(&format!("https://{host}")).get_json::<u32>("/").unwrap_err().to_string();
    assert!(wrong.contains(&format!("write http://{host}")) && !wrong.contains("InvalidContentType"), "{wrong}");
    // Nobody listens at port 80 of this address of the machine's own.
    let portless = Client::new("127.9.9.9/retort").get_json::<u32>("/").unwrap_err().to_string();
    assert!(portless.contains("http://127.9.9.9:7070/retort"), "{portless}");
    let with_port = Client::new("127.9.9.9:9").get_json::<u32>("/").unwrap_err().to_string();
    assert!(!with_port.contains("7070"), "{with_port}");
}

#[test]
fn what_a_proxy_says_is_told_with_what_to_do_and_without_tokens() {
    let page = |status: &str| answer(status, "", "<html>nginx</html>");
    let base = answering(vec![page("413 Request Entity Too Large"), page("502 Bad Gateway"), page("200 OK")]);
    let client = Client::new(&base);
    let url = "/api/v1/uploads/secret-token?x=secret".to_owned();
    let upload =
        Upload { path: "model.safetensors".into(), url, method: "PUT".into(), headers: Vec::new(), expires_at: 0 };
    let refused = client.upload(&upload, &Bytes::from(vec![0; 1_587]), &|_| {}).unwrap_err().to_string();
    assert!(refused.contains("refuses bodies of 1587 bytes") && refused.contains("client_max_body_size"), "{refused}");
    assert!(refused.contains("/api/v1/uploads/…") && !refused.contains("secret"), "{refused}");
    let away = client.get_json::<u32>("/").unwrap_err();
    assert!(away.is_passing() && away.to_string().contains("can't reach it"), "{away}");
    let other = client.get_json::<u32>("/").unwrap_err();
    assert!(!other.is_passing() && other.to_string().contains("the address of a validator?"), "{other}");
    let nobody = Client::new("127.0.0.1:9").get_json::<u32>("/").unwrap_err();
    assert_eq!(nobody.to_string().matches("refused").count(), 1, "{nobody}");
    assert!(nobody.is_passing());
}
