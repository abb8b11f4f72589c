//! The description of the API against the API: every answer and every example is as it says. That it names the routes
//! that there are follows from how it is made.

use super::rounds::{by_size, play};
use super::support::{Miner, Package, Setup, TestApp};
use protocol::submission::State;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where routes without a description may stand: pages are for people, and a witness is another service, which C2SP describes.
const ELSEWHERE: [&str; 2] = ["pages/handlers.rs", "witness.rs"];

fn document() -> Value {
    serde_json::from_str(validator::openapi()).unwrap()
}

/// A schema of the document, with the components that it may refer to.
fn schema(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    jsonschema::validator_for(&whole).unwrap()
}

/// What a reference stands for.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    resolved(document, document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}")))
}

/// What an answer of this status is described as; `default` stands for all that have no words of their own.
fn described<'a>(document: &'a Value, path: &str, method: &str, status: u16) -> &'a Value {
    let responses = &document["paths"][path][method]["responses"];
    let own = &responses[status.to_string()];
    resolved(document, if own.is_null() { &responses["default"] } else { own })
}

/// Everything that a schema may be, or is at once, without those that are null.
fn parts<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let schema = resolved(document, schema);
    let words = ["allOf", "anyOf", "oneOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
    let mut found: Vec<&Value> = words.flat_map(|part| parts(document, part)).collect();
    if schema["type"] != "null" && (found.is_empty() || schema["properties"].is_object()) {
        found.push(schema);
    }
    found
}

/// Names in an answer that its description doesn't have.
fn undescribed(document: &Value, schemas: &[&Value], value: &Value, at: &str, found: &mut BTreeSet<String>) {
    let parts: Vec<&Value> = schemas.iter().flat_map(|schema| parts(document, schema)).collect();
    if parts.iter().any(|part| part.as_object().is_some_and(|words| words.keys().all(|word| word == "description"))) {
        return;
    }
    match value {
        Value::Object(map) => {
            let is_open = |part: &&Value| part["properties"].is_null() && part["additionalProperties"].is_null();
            if parts.iter().any(is_open) {
                return;
            }
            for (name, value) in map {
                let own = parts.iter().map(|part| &part["properties"][name]);
                let others = parts.iter().map(|part| &part["additionalProperties"]);
                let described: Vec<&Value> = own.chain(others).filter(|part| part.is_object()).collect();
                if described.is_empty() {
                    found.insert(format!("{at}.{name}"));
                } else {
                    undescribed(document, &described, value, &format!("{at}.{name}"), found);
                }
            }
        }
        Value::Array(list) => {
            let items = parts.iter().map(|part| &part["items"]);
            let described: Vec<&Value> = items.filter(|part| part.is_object()).collect();
            for value in list {
                undescribed(document, &described, value, at, found);
            }
        }
        _ => {}
    }
}

/// Asks, and holds the answer against its description.
async fn check(miner: &Miner, document: &Value, path: &str, target: &str, headers: &[(&'static str, String)]) -> u16 {
    let mut request = miner.http.get(format!("{}{target}", miner.base)).header("accept", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let said = described(document, path, "get", status);
    let content = &said["content"][&kind];
    assert!(!content.is_null(), "{target}: {status} as {kind} isn't described");
    let text = answer.text().await.unwrap();
    if kind.ends_with("json") {
        let value: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<String> = schema(document, &content["schema"])
            .iter_errors(&value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{target}: {errors:#?}\n{text}");
        let mut found = BTreeSet::new();
        undescribed(document, &[&content["schema"]], &value, "", &mut found);
        assert!(found.is_empty(), "{target} says what isn't described: {found:?}");
    }
    status
}

/// A route that comes by `routes!` brings its description; one that comes by `route` has none.
#[test]
fn no_route_but_those_of_pages_comes_without_its_description() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("face/src");
    let (mut folders, mut bare) = (vec![source.clone()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                if [".route(", ".route_service(", ".nest_service("].iter().any(|word| text.contains(word)) {
                    bare.insert(path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(bare, BTreeSet::from(ELSEWHERE.map(str::to_owned)));
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let document = document();
    let items = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let names: Vec<&str> = items.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert!(names.len() >= 62, "{}", names.len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}

#[test]
fn every_reference_leads_to_something() {
    let document = document();
    let (mut stack, mut references) = (vec![&document], 0);
    while let Some(value) = stack.pop() {
        if value["$ref"].is_string() {
            resolved(&document, value);
            references += 1;
        }
        match value {
            Value::Object(map) => stack.extend(map.values()),
            Value::Array(list) => stack.extend(list),
            _ => {}
        }
    }
    assert!(references >= 200, "{references}");
}

#[test]
fn every_operation_has_a_tag_words_and_described_parameters() {
    let document = document();
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(tags.contains(&&operation["tags"][0]), "{at} has no tag");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at} says nothing");
            let named: BTreeSet<&str> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
            assert_eq!(
                in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect::<BTreeSet<_>>(),
                named,
                "{at}"
            );
            for parameter in &parameters {
                assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{at}: {parameter}");
            }
        }
    }
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = document();
    let mut examples = 0;
    let mut stack = vec![(String::new(), &document)];
    while let Some((at, value)) = stack.pop() {
        // Of contents and parameters, and of types themselves.
        let of = value.get("schema").unwrap_or(value);
        let all = value.get("examples").and_then(Value::as_array);
        for example in value.get("example").into_iter().chain(all.into_iter().flatten()) {
            let errors: Vec<String> =
                schema(&document, of).iter_errors(example).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{at}: {errors:?}");
            examples += 1;
        }
        match value {
            Value::Object(map) => stack.extend(map.iter().map(|(name, value)| (format!("{at}/{name}"), value))),
            Value::Array(list) => stack.extend(list.iter().map(|value| (at.clone(), value))),
            _ => {}
        }
    }
    assert!(examples >= 60, "{examples}");
}

#[tokio::test]
async fn every_answer_is_as_it_is_described() {
    let mut setup = Setup { evaluator: by_size(), ..Setup::default() };
    setup.config.operator_token = "sixteen letters!".into();
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let (alice, bob) = (app.miner(1), app.miner(2));
    let (document, operator) = (document(), [("authorization", "Bearer sixteen letters!".to_owned())]);
    let scored = alice.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&scored, State::Scored).await;
    let other = bob.submit(&Package::mlp(&[16], 8)).await.unwrap();
    app.wait_for(&other, State::Scored).await;
    let torn = Package::with_tensors(&[8], 9, |tensors| drop(tensors.pop()));
    let rejected = bob.submit(&torn).await.unwrap();
    app.wait_for(&rejected, State::Rejected).await;
    let waiting = alice.announce("digits", &Package::mlp(&[9], 11)).await.unwrap().id;
    play(&app, 1).await;
    let board = "/api/v1/competitions/{id}/leaderboard";
    const MODEL: &str = "/api/models/{namespace}/{name}";
    let of = |name: &str| format!("/api/v1/submissions/{name}");
    for (path, target, status) in [
        ("/api/v1/competitions", "/api/v1/competitions".to_owned(), 200),
        ("/api/v1/competitions", "/api/v1/competitions?limit=1".to_owned(), 200),
        ("/api/v1/competitions", "/api/v1/competitions?after=nobody".to_owned(), 404),
        ("/api/v1/competitions/{id}", "/api/v1/competitions/digits".to_owned(), 200),
        ("/api/v1/competitions/{id}", "/api/v1/competitions/nothing".to_owned(), 404),
        (board, "/api/v1/competitions/digits/leaderboard".to_owned(), 200),
        ("/api/v1/competitions/{id}/rounds", "/api/v1/competitions/digits/rounds".to_owned(), 200),
        ("/api/v1/competitions/{id}/rounds", "/api/v1/competitions/digits/rounds?limit=1".to_owned(), 200),
        ("/api/v1/competitions/{id}/rounds/{round}", "/api/v1/competitions/digits/rounds/1".to_owned(), 200),
        ("/api/v1/competitions/{id}/rounds/{round}", "/api/v1/competitions/digits/rounds/2".to_owned(), 200),
        ("/api/v1/competitions/{id}/rounds/{round}", "/api/v1/competitions/digits/rounds/99".to_owned(), 404),
        ("/api/v1/submissions", "/api/v1/submissions".to_owned(), 200),
        ("/api/v1/submissions", "/api/v1/submissions?state=scored&limit=1".to_owned(), 200),
        ("/api/v1/submissions", "/api/v1/submissions?state=lost".to_owned(), 400),
        ("/api/v1/submissions/{id}", of(&scored.to_string()), 200),
        ("/api/v1/submissions/{id}", of(&rejected.to_string()), 200),
        ("/api/v1/submissions/{id}", of(&waiting.to_string()), 200),
        ("/api/v1/submissions/{id}", of("nothing"), 404),
        ("/api/v1/submissions/{id}/receipt", format!("{}/receipt", of(&scored.to_string())), 200),
        ("/api/v1/submissions/{id}/receipt", format!("{}/receipt", of(&rejected.to_string())), 404),
        ("/api/v1/submissions/{id}/why", format!("{}/why", of(&scored.to_string())), 200),
        ("/api/v1/submissions/{id}/why", format!("{}/why", of(&rejected.to_string())), 200),
        ("/api/v1/submissions/{id}/why", format!("{}/why", of("nothing")), 404),
        ("/api/v1/miners/{hotkey}", format!("/api/v1/miners/{}", alice.hotkey()), 200),
        ("/api/v1/miners/{hotkey}", format!("/api/v1/miners/{}", app.miner(7).hotkey()), 404),
        ("/api/v1/events", "/api/v1/events?limit=500".to_owned(), 200),
        ("/api/v1/events", "/api/v1/events?limit=501".to_owned(), 400),
        ("/api/v1/copies/{a}/{b}", format!("/api/v1/copies/{scored}/{other}"), 200),
        ("/api/v1/operator", "/api/v1/operator".to_owned(), 200),
        ("/healthz", "/healthz".to_owned(), 200),
        ("/readyz", "/readyz".to_owned(), 200),
        ("/metrics", "/metrics".to_owned(), 200),
        ("/log/checkpoint", "/log/checkpoint".to_owned(), 200),
        ("/log/key", "/log/key".to_owned(), 200),
        ("/api/v1/ledger", "/api/v1/ledger".to_owned(), 200),
        ("/api/v1/ledger", "/api/v1/ledger?from=7".to_owned(), 200),
        ("/api/v1/ledger", "/api/v1/ledger?from=-1".to_owned(), 400),
        ("/api/v1/log/cosigned", "/api/v1/log/cosigned".to_owned(), 200),
        ("/api/v1/log/cosigned/{index}", "/api/v1/log/cosigned/0".to_owned(), 200),
        ("/api/v1/log/cosigned/{index}", "/api/v1/log/cosigned/first".to_owned(), 400),
        ("/openapi.json", "/openapi.json".to_owned(), 200),
        (MODEL, "/api/models/arena/digits".to_owned(), 200),
        (MODEL, "/api/models/teachers/digits?blobs=true".to_owned(), 200),
        (MODEL, format!("/api/models/submissions/{scored}"), 200),
        (MODEL, "/api/models/google/bert".to_owned(), 404),
        ("/api/models/{namespace}/{name}/revision/{revision}", "/api/models/arena/digits/revision/main".into(), 200),
        ("/api/models/{namespace}/{name}/revision/{revision}", "/api/models/arena/digits/revision/round-9".into(), 404),
        (
            "/api/models/{namespace}/{name}/tree/{revision}",
            "/api/models/arena/digits/tree/main?recursive=true".into(),
            200,
        ),
        (
            "/api/models/{namespace}/{name}/tree/{revision}/{path}",
            "/api/models/arena/digits/tree/main/none".into(),
            404,
        ),
        ("/api/models/{namespace}/{name}/refs", "/api/models/arena/digits/refs".into(), 200),
        ("/api/models/{namespace}/{name}/commits/{revision}", "/api/models/arena/digits/commits/main".into(), 200),
        ("/api/datasets/{namespace}/{name}", "/api/datasets/arena/digits?blobs=1".into(), 200),
        ("/api/datasets/{namespace}/{name}/tree/{revision}", "/api/datasets/arena/digits/tree/main".into(), 200),
        ("/{namespace}/{name}/resolve/{revision}/{path}", "/arena/digits/resolve/main/none".into(), 404),
        ("/api/whoami-v2", "/api/whoami-v2".into(), 401),
    ] {
        assert_eq!(check(&alice, &document, path, &target, &operator).await, status, "{target}");
    }
}

#[tokio::test]
async fn whoever_has_the_answer_already_is_told_so_and_whoever_takes_gzip_gets_it() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let get = async |target: &str, name: &'static str, value: &str| {
        miner.http.get(app.url(target)).header(name, value).send().await.unwrap()
    };
    for target in [
        "/",
        "/api",
        "/competitions/digits",
        "/competitions/digits?sort=size",
        "/api/v1/competitions",
        "/api/v1/competitions/digits",
        "/api/v1/competitions/digits/leaderboard",
        "/api/v1/competitions/digits/leaderboard.csv",
        "/api/v1/submissions",
        "/badge/digits.svg",
        "/openapi.json",
    ] {
        let whole = get(target, "accept-encoding", "identity").await;
        let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
        let text = whole.bytes().await.unwrap();
        let known = get(target, "if-none-match", &tag).await;
        assert_eq!((known.status().as_u16(), known.bytes().await.unwrap().len()), (304, 0), "{target}");
        let other = get(target, "if-none-match", "\"another\"").await;
        assert_eq!(other.status(), 200, "{target}");
        if text.len() > 2_000 {
            let squeezed = get(target, "accept-encoding", "gzip").await;
            assert_eq!(squeezed.headers()["content-encoding"], "gzip", "{target}");
            assert_eq!(squeezed.headers()["etag"], tag.as_str(), "{target}");
            let squeezed = squeezed.bytes().await.unwrap();
            let mut again = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&squeezed[..]), &mut again).unwrap();
            assert_eq!(again, text, "{target}");
        }
    }
    // A new score is another page at once.
    let before = get("/competitions/digits", "accept", "text/html").await.headers()["etag"].clone();
    let second = app.miner(2).submit(&Package::mlp(&[9], 8)).await.unwrap();
    app.wait_for(&second, State::Scored).await;
    assert_ne!(get("/competitions/digits", "accept", "text/html").await.headers()["etag"], before);
}

#[tokio::test]
async fn lists_come_in_pages_that_lead_to_all_of_them() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let mut announced = Vec::new();
    for n in 0..7_u32 {
        let miner = app.miner(1 + (n / 3) as u8);
        announced.push(miner.announce("digits", &Package::mlp(&[8], 20 + n)).await.unwrap().id.to_string());
    }
    let miner = app.miner(9);
    let (mut target, mut seen, mut pages) = (Some("/api/v1/submissions?limit=3".to_owned()), Vec::new(), 0);
    while let Some(asked) = target.take() {
        let answer = miner.get(&asked).await;
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        target = link.map(|link| link.trim_start_matches('<').split('>').next().unwrap().to_owned());
        let list: Vec<Value> = answer.json().await.unwrap();
        seen.extend(list.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        pages += 1;
    }
    announced.reverse();
    assert_eq!((seen, pages), (announced, 3));
    let own: Vec<Value> =
        miner.get(&format!("/api/v1/submissions?hotkey={}", app.miner(3).hotkey())).await.json().await.unwrap();
    assert_eq!(own.len(), 1);
    let none: Value = miner.get("/api/v1/submissions?state=scored&competition=digits").await.json().await.unwrap();
    assert_eq!(none, json!([]));
}

#[tokio::test]
async fn a_request_with_a_key_is_answered_as_it_was_before() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let announce = async |seed: u32, key: &str| {
        let package = Package::mlp(&[8], seed);
        let body = json!({ "competition": "digits", "files": package.declarations() }).to_string().into_bytes();
        let mut headers = miner.sign("POST", "/api/v1/submissions", &body);
        headers.push(("idempotency-key", key.to_owned()));
        let answer = miner.send(reqwest::Method::POST, "/api/v1/submissions", &headers, body).await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, first) = announce(7, "\"one\"").await;
    assert_eq!(status, 201);
    let (status, again) = announce(7, "one").await;
    assert_eq!((status, &again["id"]), (200, &first["id"]));
    let (status, refused) = announce(8, "one").await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("idempotency_key_reused")));
    // It expires, and a new request enters anew; the old one still learns its fate.
    let id: protocol::SubmissionId = first["id"].as_str().unwrap().parse().unwrap();
    app.app.clock.advance(601);
    app.wait_for(&id, State::Expired).await;
    let (status, fate) = announce(7, "one").await;
    assert_eq!((status, &fate["id"], fate["state"].as_str()), (200, &first["id"], Some("expired")));
    assert_eq!(announce(7, "a b").await.0, 400);
    // Another hotkey's keys are its own.
    let stranger = app.miner(2).announce("digits", &Package::mlp(&[8], 7)).await.unwrap();
    assert_ne!(stranger.id, id);
    app.app.clock.advance(601);
    app.wait_for(&stranger.id, State::Expired).await;
}
