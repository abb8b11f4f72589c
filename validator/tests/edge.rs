//! The edge of the service: problem documents for everything, limits, headers, and what watches over it.

use super::support::{Package, Setup, TestApp, accept};
use protocol::submission::State;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn whatever_is_not_there_is_a_problem_document() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    for (method, target, status, code) in [
        (Method::GET, "/api/v1/nothing", 404, "not_found"),
        (Method::GET, "/api/v1/competitions/nothing", 404, "unknown_competition"),
        (Method::GET, "/api/v1/competitions/NOTHING", 404, "unknown_competition"),
        (Method::GET, "/api/v1/competitions/%ff", 400, "bad_request"),
        (Method::GET, "/api/v1/competitions/nothing/leaderboard", 404, "unknown_competition"),
        (Method::GET, "/api/v1/competitions/nothing/leaderboard.csv", 404, "unknown_competition"),
        (Method::GET, "/api/v1/submissions/nothing", 404, "not_found"),
        (Method::GET, "/api/v1/submissions/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "not_found"),
        (Method::GET, "/api/v1/objects/sha256/..%2f..%2fhotkey", 404, "not_found"),
        (Method::PUT, "/api/v1/uploads/nothing", 404, "not_found"),
        (Method::DELETE, "/api/v1/competitions", 405, "method_not_allowed"),
        (Method::PUT, "/api/v1/submissions", 405, "method_not_allowed"),
        (Method::GET, "/api/v1/submissions?state=lost", 400, "bad_query"),
        (Method::GET, "/api/v1/submissions?limit=0", 400, "bad_query"),
        (Method::GET, "/api/v1/miners/nobody", 404, "not_found"),
        (Method::POST, "/api/v1/submissions", 401, "malformed_auth"),
    ] {
        let response = miner.http.request(method, app.url(target)).send().await.unwrap();
        let refusal = accept(response, &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (status, code), "{target}");
    }
    let long = format!("/api/v1/competitions/{}", "a".repeat(3_000));
    let refusal = accept(miner.get(&long).await, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (414, "target_too_long"));
}

#[tokio::test]
async fn a_proxys_request_id_is_kept_and_a_text_in_its_place_is_not() {
    let app = TestApp::start(Setup::default()).await;
    let longest = "a".repeat(64);
    for (sent, kept) in [
        ("7f9c2ba4-e88f.827d_61", true),
        (longest.as_str(), true),
        (&"a".repeat(65), false),
        ("", false),
        ("<b>id</b>", false),
        ("id\twith\ttabs", false),
    ] {
        let request = app.miner(1).http.get(app.url("/healthz")).header("x-request-id", sent);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"] == sent, kept, "{sent:?}");
        assert!(!answer.headers()["x-request-id"].is_empty());
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_security_headers() {
    let app = TestApp::start(Setup::default()).await;
    for target in ["/healthz", "/api/v1/nothing", "/api/v1/competitions", "/openapi.json"] {
        let response = app.miner(1).get(target).await;
        let headers = response.headers();
        assert_eq!(headers["x-request-id"].len(), 16, "{target}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{target}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{target}");
        assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"), "{target}");
    }
}

#[tokio::test]
async fn every_address_in_the_description_is_served_and_takes_its_method() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let document: Value = miner.get("/openapi.json").await.json().await.unwrap();
    let mut served = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let target = path
                .replace("{id}", "x")
                .replace("{round}", "1")
                .replace("{token}", "x")
                .replace("{digest}", "x")
                .replace("{tile}", "x")
                .replace("{hotkey}", "x")
                .replace("{file}", "x.svg");
            let request = miner.http.request(method.clone(), app.url(&target)).header("accept", "application/json");
            let text = request.send().await.unwrap().text().await.unwrap();
            assert!(!text.contains("nothing at this address"), "{method} {path}");
            assert!(!text.contains("method_not_allowed"), "{method} {path}");
            served += 1;
        }
    }
    assert!(served > 25, "{served}");
    // What is answered has exactly the fields that are described.
    let fields = |schema: &str| -> Vec<String> {
        document["components"]["schemas"][schema]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let keys = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let view: Value = miner.get("/api/v1/competitions/digits").await.json().await.unwrap();
    assert_eq!(keys(&view), fields("CompetitionView"));
    let board: Value = miner.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    assert_eq!(keys(&board), fields("Leaderboard"));
    assert_eq!(keys(&board["rows"][0]), fields("BoardRow"));
    let package = Package::mlp(&[8], 7);
    let created = miner.announce("digits", &package).await.unwrap();
    assert_eq!(keys(&serde_json::to_value(&created).unwrap()), fields("SubmissionCreated"));
    assert_eq!(keys(&serde_json::to_value(&created.uploads[0]).unwrap()), fields("Upload"));
    let status: Value = miner.get(&format!("/api/v1/submissions/{}", created.id)).await.json().await.unwrap();
    assert_eq!(keys(&status), fields("SubmissionStatus"));
    miner.upload_all(&created, &package).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
}

#[tokio::test]
async fn what_watches_over_the_process_sees_it() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    assert_eq!(miner.get("/healthz").await.status(), 200);
    assert_eq!(miner.get("/readyz").await.status(), 200);
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    for line in [
        "retort_submissions{state=\"scored\"} 1",
        "retort_submissions{state=\"queued\"} 0",
        "retort_queue_age_seconds 0",
        "retort_evaluations_total 1",
        "retort_http_responses_total{class=\"5xx\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    let findings = validator::doctor::examine(&app.app).await;
    assert!(findings.iter().all(|finding| finding.healthy), "{findings:?}");
    assert_eq!(findings.len(), 10);
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_too_slowly_is_closed() {
    let mut setup = Setup::default();
    setup.config.limits.header_read_seconds_max = 1;
    let app = TestApp::start(setup).await;
    for head in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "still open after {head:?}");
    }
}

#[tokio::test]
async fn a_silent_upload_is_broken_off() {
    let mut setup = Setup::default();
    setup.config.limits.upload_idle_seconds_max = 1;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let created = app.miner(1).announce("digits", &Package::mlp(&[8], 7)).await.unwrap();
    let target = &created.uploads[1].url;
    let size = Package::mlp(&[8], 7).files[1].1.len();
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!("PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\nabc");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("upload_broken_off"), "{answer}");
}

#[tokio::test]
async fn a_full_disk_is_507_and_says_so() {
    let mut setup = Setup::default();
    setup.config.limits.disk_reserve_bytes = u64::MAX;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    let refusal = miner.upload_all(&created, &package).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (507, "disk_full"));
    assert_eq!(miner.get("/readyz").await.status(), 503);
}

#[tokio::test]
async fn uploads_and_submissions_have_bounds() {
    let mut setup = Setup::default();
    setup.config.limits.pending_max = 1;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    app.miner(1).announce("digits", &Package::mlp(&[8], 7)).await.unwrap();
    let refusal = app.miner(2).announce("digits", &Package::mlp(&[8], 8)).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (503, "busy"));
}

#[tokio::test]
async fn an_upload_that_trickles_is_broken_off() {
    let mut setup = Setup::default();
    setup.config.limits.upload_idle_seconds_max = 1;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let package = Package::mlp(&[8], 7);
    let created = app.miner(1).announce("digits", &package).await.unwrap();
    let trickle = futures::stream::unfold(package.files[1].1.clone().into_iter(), |mut bytes| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let byte = bytes.next()?;
        Some((Ok::<_, std::io::Error>(vec![byte]), bytes))
    });
    let body = reqwest::Body::wrap_stream(trickle);
    let request = app.miner(1).http.put(app.url(&created.uploads[1].url)).body(body).send();
    let sent = tokio::time::timeout(Duration::from_secs(10), request).await.expect("it is not left to trickle");
    assert!(sent.is_err() || sent.unwrap().status() == 400);
}

#[tokio::test]
async fn the_example_dashboard_asks_for_what_is_measured() {
    let app = TestApp::with_competition(Setup::default()).await;
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    let known: Vec<&str> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let dashboard: Value = serde_json::from_str(include_str!("../../docs/grafana.json")).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let name = expression
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .find(|word| word.starts_with("retort_"));
            let name = name.unwrap_or_else(|| panic!("{expression} asks for nothing of ours"));
            assert!(known.contains(&name), "{name} isn't measured; {known:?} are");
            asked += 1;
        }
    }
    assert!(asked >= 10, "{asked}");
}
