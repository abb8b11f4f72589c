//! Spans at a collector: a receiver on loopback that reads OTLP as OpenTelemetry's own types have it.

use super::crash::miners::Miner;
use super::crash::service::Arena;
use super::support::Package;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::Method;
use serde_json::json;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// A collector with what came: where to, and its bytes.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Bytes)>>>);

impl Collector {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    /// All spans, and the names of the services that they are from.
    fn spans(&self) -> (Vec<Span>, Vec<String>) {
        let (mut spans, mut services) = (Vec::new(), Vec::new());
        for (target, body) in self.0.lock().unwrap().iter() {
            assert_eq!(target, "/v1/traces");
            for of in ExportTraceServiceRequest::decode(body.clone()).unwrap().resource_spans {
                let resource = of.resource.unwrap();
                services.extend(resource.attributes.iter().filter(|with| with.key == "service.name").map(text));
                spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        (spans, services)
    }
}

async fn take(State(collector): State<Collector>, uri: Uri, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    collector.0.lock().unwrap().push((uri.path().to_owned(), body));
    ExportTraceServiceResponse::default().encode_to_vec()
}

fn text(attribute: &opentelemetry_proto::tonic::common::v1::KeyValue) -> String {
    match attribute.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key == key).map(text)
}

#[tokio::test]
async fn a_request_and_an_evaluation_have_spans_at_the_collector_and_no_secret_is_in_them() {
    let collector = Collector::default();
    let arena = Arena::new("");
    let settings = std::fs::read_to_string(arena.home.config()).unwrap();
    let endpoint = collector.listen().await;
    std::fs::write(arena.home.config(), format!("traces_endpoint = \"{endpoint}\"\n{settings}")).unwrap();
    arena.add("digits", |toml| toml);
    let (process, base) = arena.serve().await;
    let mut miner = Miner::new(1, &arena);
    miner.begin("digits", Package::mlp(&[8], 7));
    while miner.go_on(&base).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    arena.until_done(&miner, &base).await;
    let request = json!({ "label": "laptop", "expires_in_seconds": 3600 }).to_string().into_bytes();
    let made = miner.ask(Method::POST, &base, "/api/v1/tokens", request).await.unwrap();
    let token = made["token"].as_str().unwrap();
    miner.get(&base, "/api/v1/competitions?limit=1&secret=hush").await.ok();
    // An end in good order sends what wasn't sent.
    assert!(process.stop().await.success());

    let (spans, services) = collector.spans();
    assert!(services.iter().all(|service| service == "retort-validator") && !services.is_empty(), "{services:?}");
    let found = |name: &str, key: &str, value: &str| {
        let span = spans.iter().find(|span| span.name == name && attribute(span, key).as_deref() == Some(value));
        span.unwrap_or_else(|| panic!("no {name} with {key} {value} among {spans:#?}"))
    };
    let request = found("request", "path", "/api/v1/tokens");
    assert_eq!(attribute(request, "method").as_deref(), Some("POST"));
    assert_eq!(attribute(request, "status").as_deref(), Some("201"));
    assert!(request.end_time_unix_nano > request.start_time_unix_nano);
    let id = miner.entries[0].id.clone().unwrap().to_string();
    let evaluation = found("evaluation", "submission.id", &id);
    assert!(evaluation.events.iter().any(|event| event.name.contains("scored submission")), "{evaluation:?}");
    let uploads = spans.iter().filter_map(|span| attribute(span, "path")).filter(|path| path.contains("/uploads/"));
    assert!(uploads.clone().count() >= 2 && uploads.clone().all(|path| path == "/api/v1/uploads/…"));

    let all: Vec<u8> = collector.0.lock().unwrap().iter().flat_map(|(_, body)| body.to_vec()).collect();
    for secret in [token.as_bytes(), b"secret=hush", b"-signature", b"Signature"] {
        assert!(!all.windows(secret.len()).any(|part| part == secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[tokio::test]
async fn the_standard_variable_names_a_collector_and_one_that_is_gone_costs_spans_alone() {
    let collector = Collector::default();
    let arena = Arena::new("");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, heard) in [(collector.listen().await, true), (format!("http://{closed}"), false)] {
        let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_scripted-validator"))
            .arg("serve")
            .arg(arena.home.path())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_SERVICE_NAME", "arena-one")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let base = format!("http://{}", super::s3::first_line(&mut process).await);
        let miner = Miner::new(1, &arena);
        miner.get(&base, "/healthz").await.unwrap();
        let pid = rustix::process::Pid::from_raw(process.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), process.wait()).await.expect("it ends").unwrap();
        assert!(ended.success());
        let (spans, services) = collector.spans();
        if heard {
            assert!(spans.iter().any(|span| attribute(span, "path").as_deref() == Some("/healthz")));
        }
        assert!(services.iter().all(|service| service == "arena-one"), "{services:?}");
    }
}
