//! What happens, as it happens: streams that miss nothing and tell nothing twice, across reconnections and restarts.

use super::support::{Package, Setup, TestApp, accept};
use futures::StreamExt;
use protocol::submission::State;
use serde_json::Value;
use std::time::{Duration, Instant};
use validator::db::feed::{FeedEvent, Happening};

/// How long a test waits for words.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of events that is being read.
struct Reader {
    body: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffered: String,
}

/// One event as it came.
#[derive(Debug)]
struct Heard {
    id: u64,
    kind: String,
    data: Value,
}

impl Reader {
    async fn open(app: &TestApp, query: &str, last: Option<u64>) -> Self {
        let mut request = reqwest::Client::new().get(app.url(&format!("/api/v1/events{query}")));
        request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Self { body: Box::pin(response.bytes_stream()), buffered: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Heard> {
        let heard = async {
            loop {
                if let Some((event, rest)) = self.buffered.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.buffered = rest;
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                    // Heartbeats have no fields.
                    let Some(id) = field("id: ") else { continue };
                    let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                    return Some(Heard { id: id.parse().unwrap(), kind: field("event: ").unwrap(), data });
                }
                let bytes = self.body.next().await?.ok()?;
                self.buffered.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("words in time")
    }

    async fn until(&mut self, wanted: impl Fn(&Heard) -> bool) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            let heard = self.next().await.expect("the stream goes on");
            let found = wanted(&heard);
            all.push(heard);
            if found {
                return all;
            }
        }
    }
}

fn is_scored(heard: &Heard) -> bool {
    heard.data["state"] == "scored"
}

#[tokio::test]
async fn a_score_is_told_within_a_second_and_before_it_every_step() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let mut reader = Reader::open(&app, "?competition=digits", None).await;
    assert_eq!(reader.next().await.unwrap().kind, "hello");
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    let told = tokio::spawn(async move {
        let all = reader.until(is_scored).await;
        (all, Instant::now())
    });
    app.wait_for(&id, State::Scored).await;
    let scored_at = Instant::now();
    let (all, told_at) = told.await.unwrap();
    let late = told_at.saturating_duration_since(scored_at);
    assert!(late < Duration::from_secs(1), "{late:?} after the score");
    let steps: Vec<_> = all.iter().filter(|heard| heard.kind == "submission").collect();
    let states: Vec<&str> = steps.iter().map(|heard| heard.data["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["awaiting_upload", "checking", "queued", "evaluating", "scored"]);
    assert!(all.is_sorted_by(|a, b| a.id < b.id));
    let last: FeedEvent = serde_json::from_value(steps[4].data.clone()).unwrap();
    let Happening::Submission { submission, hotkey, score_ppm, .. } = last.what else { panic!("{last:?}") };
    let score = app.app.db.evaluation(&id).await.unwrap().unwrap().score;
    assert_eq!((submission, hotkey, score_ppm), (id, miner.hotkey(), Some(score.composite.value_ppm)));
}

#[tokio::test]
async fn whoever_comes_back_hears_what_it_missed_once_even_from_another_process() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&first, State::Scored).await;
    let mut reader = Reader::open(&app, "?competition=digits&after=0", None).await;
    let heard = reader.until(is_scored).await;
    let last = heard.last().unwrap().id;
    drop(reader);
    let second = app.miner(2).submit(&Package::mlp(&[9], 8)).await.unwrap();
    app.wait_for(&second, State::Scored).await;

    let (dir, objects) = app.stop().await;
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    let mut reader = Reader::open(&app, "?competition=digits", Some(last)).await;
    assert_eq!(reader.next().await.unwrap().id, last, "the greeting says from where");
    let missed = reader.until(is_scored).await;
    assert!(missed.iter().all(|heard| heard.id > last) && missed.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(missed.last().unwrap().data["submission"], second.to_string());
    let third = app.miner(3).submit(&Package::mlp(&[10], 9)).await.unwrap();
    app.wait_for(&third, State::Scored).await;
    let live = reader.until(is_scored).await;
    assert!(
        live.iter()
            .filter(|heard| heard.kind == "submission")
            .all(|heard| heard.data["submission"] == third.to_string())
    );
}

#[tokio::test]
async fn filters_leave_out_what_others_do() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let mut of_alice = Reader::open(&app, &format!("?hotkey={}", alice.hotkey()), Some(0)).await;
    let theirs = bob.submit(&Package::mlp(&[9], 8)).await.unwrap();
    app.wait_for(&theirs, State::Scored).await;
    let own = alice.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&own, State::Scored).await;
    let heard = of_alice.until(is_scored).await;
    let told: Vec<_> = heard.iter().filter(|heard| heard.kind != "hello").collect();
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|heard| heard.data["hotkey"] == alice.hotkey().to_string()));
    let mut of_one = Reader::open(&app, &format!("?submission={theirs}"), Some(0)).await;
    assert!(of_one.until(is_scored).await.iter().skip(1).all(|heard| heard.data["submission"] == theirs.to_string()));
}

#[tokio::test]
async fn those_who_want_no_stream_get_pages() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let page = async |target: &str| {
        let answer = miner.http.get(app.url(target)).header("accept", "application/json").send().await.unwrap();
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        (answer.json::<Vec<FeedEvent>>().await.unwrap(), link)
    };
    let (first, link) = page("/api/v1/events?limit=3").await;
    let next = link.unwrap();
    let next = next.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(first.len(), 3);
    let (second, _) = page(next).await;
    assert_eq!(second[0].id, first[2].id + 1);
    assert!(first.iter().any(|event| event.what == Happening::Competition { amendment: None }));
}

#[tokio::test]
async fn streams_have_places_of_their_own_and_end_with_the_process() {
    let mut setup = Setup::default();
    setup.config.limits.streams_max = 2;
    let app = TestApp::with_competition(setup).await;
    let mut readers = [Reader::open(&app, "", None).await, Reader::open(&app, "", None).await];
    for reader in &mut readers {
        assert_eq!(reader.next().await.unwrap().kind, "hello");
    }
    let miner = app.miner(1);
    let refusal = accept(miner.get("/api/v1/events").await, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (503, "busy"));
    assert_eq!(miner.get("/api/v1/competitions").await.status(), 200, "reads have other places");
    let began = Instant::now();
    app.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for mut reader in readers {
        assert!(reader.next().await.is_none());
    }
}

#[tokio::test]
async fn wrong_questions_about_events_are_told_so() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    for (target, status, code) in [
        ("/api/v1/events?colour=red", 400, "bad_query"),
        ("/api/v1/events?after=x", 400, "bad_query"),
        ("/api/v1/events?submission=x", 400, "bad_query"),
        ("/api/v1/events?competition=nothing", 404, "unknown_competition"),
    ] {
        let refusal = accept(miner.get(target).await, &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (status, code), "{target}");
    }
    let request = miner.http.get(app.url("/api/v1/events")).header("last-event-id", "yesterday");
    let refusal = accept(request.send().await.unwrap(), &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (400, "bad_last_event_id"));
}
