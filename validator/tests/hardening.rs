//! Hostile clients at the door: too many connections, dribbled requests, answers that nobody takes, floods. Meanwhile
//! honest requests are answered.

use super::support::{Package, Setup, TestApp, accept};
use protocol::api::Problem;
use protocol::submission::State;
use reqwest::{Client, StatusCode};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The host of a network is a loopback address of its own, so that a test can come from many.
pub(super) fn address(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, host))
}

pub(super) async fn connect_from(host: u8, app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address(host), 0)).unwrap();
    socket.connect(app.address).await.unwrap()
}

pub(super) fn client_from(host: u8) -> Client {
    Client::builder().local_address(address(host)).build().unwrap()
}

/// Everything that the other end sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    // A connection may be reset once what we sent isn't wanted; what came before still counts.
    let _ = read.expect("the other end closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A socket that sends a byte of a request from time to time, and begins anew whenever it is closed.
fn dribble(app: &TestApp, host: u8, text: &'static str) -> tokio::task::JoinHandle<()> {
    let target = app.address;
    tokio::spawn(async move {
        loop {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(address(host), 0)).unwrap();
            let Ok(mut stream) = socket.connect(target).await else { continue };
            for byte in text.bytes() {
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_dribbling_sockets_hold_up_no_honest_request() {
    let mut setup = Setup::default();
    setup.config.limits.header_read_seconds_max = 1;
    let app = TestApp::with_competition(setup).await;
    const HEAD: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const BODY: &str = "POST /api/v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{{{{{{{{{{{{{";
    // Eight addresses with 25 sockets each.
    let dribbling: Vec<_> =
        (0..200).map(|index| dribble(&app, 10 + index % 8, if index % 2 == 0 { HEAD } else { BODY })).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut slowest = Duration::ZERO;
    for seed in 1..=3 {
        let began = Instant::now();
        assert_eq!(app.miner(seed).get("/healthz").await.status(), 200);
        slowest = slowest.max(began.elapsed());
        let id = app.miner(seed).submit(&Package::mlp(&[8], u32::from(seed))).await.unwrap();
        app.wait_for(&id, State::Scored).await;
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    dribbling.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let mut setup = Setup::default();
    setup.config.limits.connections_per_address_max = 3;
    let app = TestApp::start(setup).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect_from(2, &app).await);
    }
    let mut fourth = connect_from(2, &app).await;
    let answer = rest(&mut fourth).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("too_many_connections"), "{answer}");
    let problem: Problem = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(problem.status, 429);
    let other = client_from(3).get(app.url("/healthz")).send().await.unwrap();
    assert_eq!(other.status(), 200, "another address isn't concerned");
    drop(held);
    let again = async {
        loop {
            if let Ok(answer) = client_from(2).get(app.url("/healthz")).send().await
                && answer.status() == 200
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("connections that ended count no more");
}

#[tokio::test]
async fn a_connection_that_is_kept_alive_and_idle_is_closed() {
    let mut setup = Setup::default();
    setup.config.limits.header_read_seconds_max = 1;
    let app = TestApp::start(setup).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 2_048];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "it is kept alive");
    }
    let began = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_json_body_that_dribbles_is_broken_off() {
    let mut setup = Setup::default();
    setup.config.limits.body_read_seconds_max = 1;
    setup.config.operator_token = "a token of the operator".into();
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    let signed: String = miner
        .sign("POST", "/api/v1/submissions", &[b'{'; 1_000])
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let operator = "/api/v1/operator/submissions/01ARZ3NDEKTSV4RRFFQ69G5FAV/requeue";
    for (target, headers) in
        [("/api/v1/submissions", signed.as_str()), (operator, "Authorization: Bearer a token of the operator\r\n")]
    {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 1000\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let dribbling = tokio::spawn(async move {
            while writing.write_all(b"{").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut bytes = vec![0; 4_096];
        let read = tokio::time::timeout(Duration::from_secs(10), reading.read(&mut bytes)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&bytes[..read]);
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_too_slow"), "{answer}");
        dribbling.abort();
    }
}

#[tokio::test]
async fn a_stranger_s_body_is_not_even_read() {
    let app = TestApp::with_competition(Setup::default()).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = "POST /api/v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4_096];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes[..read].starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&bytes[..read]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_nobody_takes_is_given_up() {
    let mut setup = Setup::default();
    setup.config.limits.response_idle_seconds_max = 1;
    let app = TestApp::with_competition(setup).await;
    // Larger than what sockets hold for us.
    let object = app.app.objects.put(vec![7; 32 << 20].into()).await.unwrap();
    let mut tx = app.app.db.write().await.unwrap();
    let public = validator::db::competitions::PublicObject {
        sha256: object.sha256,
        size_bytes: object.size_bytes,
        filename: "large.bin".into(),
    };
    validator::db::competitions::publish_object(&mut tx, &public).await.unwrap();
    tx.commit().await.unwrap();
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let request = format!("GET /api/v1/objects/sha256/{} HTTP/1.1\r\nHost: x\r\n\r\n", object.sha256);
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK"));
    assert!(bytes.len() < 32 << 20, "{} bytes came although nobody took them", bytes.len());
    // Whoever takes it gets all of it.
    let whole = app.miner(1).get(&format!("/api/v1/objects/sha256/{}", object.sha256)).await.bytes().await.unwrap();
    assert_eq!(whole.len(), 32 << 20);
}

#[tokio::test]
async fn an_address_may_come_so_often_and_is_told_when_to_come_again() {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.address_requests_per_second_max, limits.address_requests_burst_max) = (1, 5);
    let app = TestApp::start(setup).await;
    let client = client_from(4);
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(client.get(app.url("/api/v1/competitions")).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses[..5], [200; 5]);
    assert_eq!(statuses[6], 429, "{statuses:?}");
    let response = client.get(app.url("/api/v1/competitions")).send().await.unwrap();
    let after = response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    let refusal = accept(response, &[]).await.unwrap_err();
    assert_eq!(refusal.problem.code, "address_rate");
    assert_eq!(refusal.problem.retry_after_seconds, Some(after));
    assert!((1..=2).contains(&after), "{after}");
    let health = client.get(app.url("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200, "health is counted on its own");
    let other = client_from(5).get(app.url("/api/v1/competitions")).send().await.unwrap();
    assert_eq!(other.status(), 200);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(client.get(app.url("/api/v1/competitions")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn writes_are_counted_before_any_signature_is_looked_at() {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.address_writes_per_second_max, limits.address_writes_burst_max) = (1, 2);
    let app = TestApp::start(setup).await;
    let (client, mut codes) = (client_from(6), Vec::new());
    for _ in 0..3 {
        let response = client.post(app.url("/api/v1/submissions")).body("{}").send().await.unwrap();
        codes.push(accept(response, &[]).await.unwrap_err().problem.code);
    }
    assert_eq!(codes, ["malformed_auth", "malformed_auth", "address_rate"]);
}

#[tokio::test]
async fn forwarded_addresses_count_only_behind_a_trusted_proxy() {
    for (proxies, expected) in [(vec!["127.0.0.7/32".parse().unwrap()], [200, 200, 429]), (vec![], [200, 429, 429])] {
        let mut setup = Setup::default();
        setup.config.trusted_proxies = proxies;
        let limits = &mut setup.config.limits;
        (limits.address_requests_per_second_max, limits.address_requests_burst_max) = (1, 1);
        let app = TestApp::start(setup).await;
        let mut statuses = Vec::new();
        for client in ["203.0.113.1", "203.0.113.2", "203.0.113.1"] {
            let request = client_from(7).get(app.url("/api/v1/competitions")).header("x-forwarded-for", client);
            statuses.push(request.send().await.unwrap().status().as_u16());
        }
        assert_eq!(statuses, expected);
    }
}

#[tokio::test]
async fn a_hotkey_may_come_so_often_from_wherever_it_comes() {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.hotkey_requests_per_minute_max, limits.hotkey_requests_burst_max) = (1, 2);
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let package = Package::mlp(&[8], 7);
    let mut codes = Vec::new();
    for host in [8, 9, 8] {
        let mut miner = app.miner(1);
        miner.http = client_from(host);
        codes.push(miner.announce("digits", &package).await.err().map(|refusal| refusal.problem.code));
    }
    assert_eq!(codes, [None, None, Some("hotkey_rate".to_owned())]);
    app.miner(2).announce("digits", &package).await.expect("another hotkey isn't concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_come_hold_no_place() {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.writes_max, limits.reads_max, limits.body_read_seconds_max) = (2, 2, 30);
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let mut held = Vec::new();
    // Signed and not, what changes something and what only asks.
    for (index, host) in (0..64).zip([2, 3].into_iter().cycle()) {
        let (target, signs) = match index % 4 {
            0 => ("/api/v1/submissions", false),
            1 => ("/api/v1/submissions", true),
            2 => ("/api/models/arena/digits/paths-info/main", false),
            _ => ("/api/validate-yaml", false),
        };
        let headers = if signs { app.miner(1).sign("POST", target, &[b'{'; 100]) } else { Vec::new() };
        let headers: String = headers.into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut stream = connect_from(host, &app).await;
        let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 100\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for seed in 2..42 {
        let announced = app.miner(seed).announce("digits", &Package::mlp(&[8], u32::from(seed))).await;
        announced.unwrap_or_else(|refusal| panic!("{seed}: {refusal:?}"));
    }
    let miner = app.miner(1);
    for target in ["/healthz", "/readyz", "/api/v1/competitions", "/"] {
        assert_eq!(miner.get(target).await.status(), 200, "{target}");
    }
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("retort_http_refused_total{why=\"places\"} 0"), "{metrics}");
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_the_end() {
    let mut setup = Setup::default();
    setup.config.limits.header_read_seconds_max = 30;
    let app = TestApp::start(setup).await;
    let mut silent = TcpStream::connect(app.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    app.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn downloads_have_one_range_at_most_and_are_saved_not_shown() {
    let app = TestApp::with_competition(Setup::default()).await;
    let stored = app.app.db.competition(&super::support::competition("digits")).await.unwrap().unwrap();
    let object = stored.competition.teacher.model().unwrap().weights;
    let url = app.url(&format!("/api/v1/objects/sha256/{}", object.sha256));
    let get =
        async |name: &'static str, value: &str| app.miner(1).http.get(&url).header(name, value).send().await.unwrap();
    let etag = format!("\"{}\"", object.sha256);
    for (range, status, length) in [
        ("bytes=0-0", 206, 1),
        ("bytes=0-1,4-5", 200, object.size_bytes),
        ("bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", 200, object.size_bytes),
        ("bytes=-18446744073709551615", 206, object.size_bytes),
        ("bytes=18446744073709551615-", 416, 0),
        ("bytes=+3-5", 400, 0),
        ("bytes=3-+5", 400, 0),
    ] {
        let response = get("range", range).await;
        assert_eq!(response.status(), status, "{range}");
        if status < 400 {
            assert_eq!(response.bytes().await.unwrap().len() as u64, length, "{range}");
        }
    }
    let whole = get("accept", "*/*").await;
    let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("etag"), etag);
    assert_eq!(header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header("content-type"), "application/octet-stream");
    assert!(header("content-disposition").starts_with("attachment; filename=\""));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(get("if-none-match", &etag).await.status(), StatusCode::NOT_MODIFIED);
    let stale = app.miner(1).http.get(&url).header("range", "bytes=0-0").header("if-range", "\"other\"");
    assert_eq!(stale.send().await.unwrap().status(), 200, "a part of another version is no use");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_break_off_give_back_their_places_and_their_space() {
    let mut setup = Setup::default();
    setup.config.limits.uploads_max = 2;
    let app = TestApp::with_competition(setup).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    let size = package.files[1].1.len();
    let mut refused = 0;
    for _ in 0..200 {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        let target = &created.uploads[1].url;
        let head = format!("PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&package.files[1].1[..100]).await.unwrap();
        // Some are told that there is no place, since it takes a moment to see that the ones before are gone.
        let told = tokio::time::timeout(Duration::from_millis(5), stream.read_u8()).await;
        refused += u32::from(matches!(told, Ok(Ok(_))));
    }
    assert!(refused < 200, "none of them got as far as to break off");
    let uploaded = async {
        while let Err(refusal) = miner.upload_all(&created, &package).await {
            assert_eq!(refusal.problem.code, "busy");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), uploaded).await.expect("the places are free again");
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
    let left = std::fs::read_dir(app.dir.path().join("tmp")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of half an upload");
}

#[tokio::test]
async fn nothing_is_unpacked_and_there_is_no_second_version_of_http() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    // A compressed body is what was signed, and no JSON.
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00".to_vec();
    let headers = miner.sign("POST", "/api/v1/submissions", &body);
    let mut request = miner.http.post(app.url("/api/v1/submissions")).header("content-encoding", "gzip").body(body);
    for (name, value) in &headers {
        request = request.header(*name, value);
    }
    let refusal = accept(request.send().await.unwrap(), &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (422, "invalid_body"));
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn heads_that_two_readers_may_understand_differently_are_refused() {
    let app = TestApp::with_competition(Setup::default()).await;
    let target = "/api/v1/competitions";
    for (what, request, expected) in [
        ("a plain one", format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "200"),
        ("two hosts", format!("GET {target} HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"), "400"),
        ("no host", format!("GET {target} HTTP/1.1\r\n\r\n"), "400"),
        ("no host, as HTTP/1.0 may", format!("GET {target} HTTP/1.0\r\n\r\n"), "200"),
        ("bare line feeds", format!("GET {target} HTTP/1.1\nHost: x\n\n"), "400"),
        ("one bare line feed", format!("GET {target} HTTP/1.1\r\nHost: x\nAccept: a\r\n\r\n"), "400"),
        (
            "identity beside chunked",
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        (
            "identity in a line of its own",
            format!(
                "GET {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n\
                 0\r\n\r\n"
            ),
            "400",
        ),
        (
            "two lengths",
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"),
            "400",
        ),
        (
            "chunks alone",
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "200",
        ),
    ] {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} "))
                || answer.starts_with(&format!("HTTP/1.0 {expected} ")),
            "{what}: {answer}"
        );
        assert!(expected == "200" || answer.contains("odd_request"), "{what}: {answer}");
    }
    // In the second request of a connection too.
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let first = format!("GET {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\n\n");
    stream.write_all(first.as_bytes()).await.unwrap();
    let mut answer = vec![0; 64 << 10];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    stream.write_all(format!("GET {target} HTTP/1.1\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("HTTP/1.1 400 ") && answer.contains("odd_request"), "{answer}");
}
