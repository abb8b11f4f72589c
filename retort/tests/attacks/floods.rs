//! Too much of everything (rows 20 to 22, 36 and 51, incidents E24 to E26 and E30): announcements without files, package
//! after package, sockets that say little, and lengths that aren't true.

use super::hall::{SLOW, SUBMISSIONS_PER_DAY, hall, until};
use super::package::Package;
use super::stranger::{SUBMISSIONS, Stranger, raw};
use protocol::api::SubmissionCreated;
use protocol::submission::State;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// E25: repositories that were announced and never filled were tried first, for ever.
#[test]
fn ghosts_that_announce_and_never_send_are_stopped_and_an_honest_miner_is_served_meanwhile() {
    let numbered =
        |ghost: u8, try_: u8| Package::fixture("resnet_f16").holding(|weights| weights.extend([ghost, try_]));
    for ghost in 0..5 {
        let mallory = Stranger::new(hall());
        for attempt in 0..4 {
            assert_eq!(mallory.announce(&numbered(ghost, attempt)).status, 201);
        }
        let answer = mallory.announce(&numbered(ghost, 4));
        assert_eq!(answer.refusal(), (429, "pending_exhausted".into()));
        let problem: Value = answer.json();
        let wait = problem["retry_after_seconds"].as_u64().unwrap();
        assert!(wait > 0 && answer.head.to_lowercase().contains(&format!("retry-after: {wait}")), "{}", answer.head);
        // The operator and everybody else see what they are.
        let entered = mallory.entered();
        assert_eq!(entered.len(), 4);
        assert!(entered.iter().all(|row| row["state"] == "awaiting_upload"), "{entered:?}");
    }
    let alice = Stranger::new(hall());
    let id = alice.submit(&Package::fixture("resnet_f16"));
    let queued = alice.status(&id);
    // Nothing that hasn't come waits in front of what has.
    assert!(queued.queue_position.is_none_or(|position| position < 10), "{:?}", queued.queue_position);
    assert_eq!(alice.end(&id).state, State::Scored);
}

/// E26: one miner took thirteen times what an evaluation may cost.
#[test]
fn whoever_recommits_all_day_meets_the_quota_and_is_told_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mallory = Stranger::new(hall());
    let spam = |number: usize| {
        Package::fixture("mlp").described(|config| config["labels"][0] = json!(format!("spam {number}")))
    };
    for number in 0..SUBMISSIONS_PER_DAY {
        let id = mallory.submit(&spam(number));
        assert_eq!(mallory.end(&id).state, State::Rejected);
    }
    // The same one again isn't new, so that a lost answer costs nothing and repeating wins nothing.
    let again = mallory.announce(&spam(0));
    assert_eq!(again.status, 200);
    assert_eq!(mallory.entered().len(), SUBMISSIONS_PER_DAY);

    let folder = dir.path().join("student");
    spam(SUBMISSIONS_PER_DAY).write(&folder);
    let began = Instant::now();
    let (success, told) = mallory.submit_by_command(&folder);
    assert!(!success && told.contains("quota_exhausted") && told.contains("24 hours"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(60), "the command doesn't wait for a day");
    let body = json!({ "competition": "fashion-mnist", "files": spam(9).declarations() }).to_string();
    let refused: Value = mallory.signed("POST", SUBMISSIONS, body.as_bytes()).json();
    let wait = refused["retry_after_seconds"].as_u64().unwrap();
    assert!((23 * 3_600..=24 * 3_600).contains(&wait), "{wait}");
    assert_eq!(mallory.entered().len(), SUBMISSIONS_PER_DAY, "nothing more was entered");
    // Another hotkey isn't concerned.
    assert_eq!(Stranger::new(hall()).announce(&spam(10)).status, 201);
}

/// Row 21: sockets that send a byte now and then, in the head and in the body, while somebody honest asks.
#[test]
fn sockets_that_dribble_are_closed_and_nobody_waits_for_them() {
    let mallory = Stranger::new(hall());
    let body = [b'{'; 1_000];
    let signed: String = mallory
        .sign("POST", SUBMISSIONS, &body)
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let upload = mallory.announce(&Package::fixture("mlp").holding(|weights| weights.push(0)));
    let created: SubmissionCreated = upload.json();
    let begun = [
        "GET / HTTP/1.1\r\nHost: ".to_owned(),
        format!("POST {SUBMISSIONS} HTTP/1.1\r\nHost: x\r\n{signed}Content-Length: 1000\r\n\r\n{{"),
        format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 158745\r\n\r\n", created.uploads[1].url),
        String::new(),
    ];
    let began = Instant::now();
    let sockets: Vec<TcpStream> = (0..120)
        .map(|index| {
            let mut stream = TcpStream::connect(hall().address()).unwrap();
            let _ = stream.write_all(begun[index % begun.len()].as_bytes());
            stream
        })
        .collect();
    let mut longest = Duration::ZERO;
    while began.elapsed() < SLOW {
        let asked = Instant::now();
        assert_eq!(mallory.get("/healthz").status, 200);
        assert_eq!(mallory.get("/competitions/fashion-mnist").status, 200);
        longest = longest.max(asked.elapsed());
        // One more byte from each that may still write: none of them is idle for long, all of them are slow.
        sockets.iter().for_each(|mut socket| drop(socket.write(b"x")));
    }
    assert!(longest < 3 * SLOW, "an honest page took {longest:?} beside them");
    let open = |socket: &TcpStream| {
        socket.set_nonblocking(true).unwrap();
        let mut socket = socket;
        loop {
            match socket.read(&mut [0; 4_096]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    };
    let closed = until(10 * SLOW, || (!sockets.iter().any(open)).then_some(()));
    assert!(closed.is_some(), "{} are still open", sockets.iter().filter(|socket| open(socket)).count());
    assert!(hall().forgets_uploads(), "nothing of half an upload is left");
}

/// Row 20, and what two readers of one connection would read differently.
#[test]
fn a_length_that_lies_ends_its_own_request_and_smuggles_no_other() {
    let mallory = Stranger::new(hall());
    let package = Package::fixture("mlp").holding(|weights| weights.push(1));
    let created: SubmissionCreated = mallory.announce(&package).json();
    let (target, size) = (&created.uploads[1].url, package.weights.len());
    let hidden = "GET /api/v1/operator HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunk = format!("{:x}\r\n", size + 1);
    for (what, head, body, statuses) in [
        ("less than it says", format!("Content-Length: {size}"), &package.weights[..100], &[400, 408][..]),
        ("another size than announced", format!("Content-Length: {}", u64::MAX), b"x", &[400, 413, 422, 431]),
        ("no number", "Content-Length: 0x10".to_owned(), b"x", &[400]),
        ("below zero", "Content-Length: -1".to_owned(), b"x", &[400]),
        ("beyond all numbers", "Content-Length: 99999999999999999999999".to_owned(), b"x", &[400]),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6".to_owned(), hidden.as_bytes(), &[400]),
        ("chunks without an end", "Transfer-Encoding: chunked".to_owned(), b"5\r\nhello", &[400, 408]),
        ("a chunk of 2^64", "Transfer-Encoding: chunked".to_owned(), b"ffffffffffffffffff\r\n", &[400]),
        ("one byte too many", "Transfer-Encoding: chunked".to_owned(), chunk.as_bytes(), &[400, 408, 422]),
        ("an unknown coding", "Transfer-Encoding: gzip".to_owned(), b"x", &[400, 501]),
        (
            "a length and chunks",
            "Content-Length: 5\r\nTransfer-Encoding: chunked".to_owned(),
            b"0\r\n\r\nGET /api/v1/operator HTTP/1.1\r\nHost: x\r\n\r\n",
            &[400, 422],
        ),
    ] {
        let sent = format!("PUT {target} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n");
        let answer = raw(hall().address(), &[sent.as_bytes(), body].concat());
        assert!(statuses.contains(&answer.status), "{what}: {} {}", answer.head, answer.text());
        let answers = answer.text().matches("HTTP/1.1").count();
        assert_eq!(answers, 0, "{what} had more than one answer: {}", answer.text());
    }
    assert_eq!(mallory.complete(&created.id.to_string()).refusal(), (409, "upload_incomplete".into()));
    assert!(hall().forgets_uploads());
    assert_eq!(mallory.put(target, &package.weights).status, 204, "who sends what it says is served as ever");
}

/// Somebody who reads pages from one address as fast as they come, until told to stop.
struct Reader {
    stop: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Its machine is this one, but it must not be: it keeps off the core on which models are timed, the last one.
    fn at(host: u8, address: SocketAddr) -> Self {
        let (stop, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&read));
        let reading = move || {
            let mut cores = sched_getaffinity(None).unwrap();
            let last = (0..CpuSet::MAX_CPU).rev().find(|core| cores.is_set(*core)).unwrap();
            if cores.count() > 1 {
                cores.unset(last);
                sched_setaffinity(None, &cores).unwrap();
            }
            let run = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            run.block_on(async {
                let sockets = (0..4).map(|_| read_on(host, address, &stopped, &count));
                futures::future::join_all(sockets).await;
            });
        };
        Self { stop, read, thread: Some(std::thread::spawn(reading)) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Reads one page after the other; a connection that is closed is opened again.
async fn read_on(host: u8, address: SocketAddr, stop: &AtomicBool, count: &AtomicU64) {
    let pages =
        ["/", "/competitions/fashion-mnist", "/api/v1/competitions/fashion-mnist/leaderboard", "/api/v1/submissions"];
    let mut answer = vec![0; 64 << 10];
    while !stop.load(Ordering::Relaxed) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
        let Ok(mut stream) = socket.connect(address).await else { continue };
        for page in pages.iter().cycle() {
            let asked = stream.write_all(format!("GET {page} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await;
            // However much of it comes at once: what is asked is what costs the validator.
            let came = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await;
            if stop.load(Ordering::Relaxed) || asked.is_err() || !matches!(came, Ok(Ok(1..))) {
                break;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Five addresses that read as fast as they can while a model is measured: the same one as in quiet, written with half the digits.
#[test]
fn readers_at_full_speed_make_no_measurement_wrong() {
    let alice = Stranger::new(hall());
    let measured = |fixture: &str| {
        let ended = alice.end(&alice.submit(&Package::fixture(fixture)));
        assert_eq!(ended.state, State::Scored, "{:?}", ended.reason);
        (ended.report.unwrap().latency.ratio, ended.latency_verdict.unwrap())
    };
    let (quiet, quiet_verdict) = measured("resnet");
    let address: SocketAddr = hall().address().parse().unwrap();
    let readers: Vec<Reader> = (2..7).map(|host| Reader::at(host, address)).collect();
    let (beside, verdict) = measured("resnet_f16");
    let read: u64 = readers.iter().map(|reader| reader.read.load(Ordering::Relaxed)).sum();
    drop(readers);
    println!("{quiet:?} {quiet_verdict} in quiet; {beside:?} {verdict} beside {read} reads");
    assert!(read > 1_000, "they read: {read}");
    let overlap = beside.low_ppm <= quiet.high_ppm && quiet.low_ppm <= beside.high_ppm;
    assert!(overlap || verdict.is_unstable() || quiet_verdict.is_unstable(), "{quiet:?}, {beside:?} {verdict}");
}
