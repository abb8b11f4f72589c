//! The description of the API against the API: every route is in it, every answer and every example is as it says.

use super::rounds::{by_size, play};
use super::support::{Miner, Package, Setup, TestApp};
use protocol::submission::State;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Addresses of the code that the document spells otherwise.
const SPELT_OTHERWISE: [(&str, &[&str]); 1] = [("/log/{*path}", &["/log/checkpoint", "/log/tile/{tile}"])];

fn document() -> Value {
    serde_json::from_str(include_str!("../src/api/openapi.json")).unwrap()
}

/// A schema of the document, with the components that it may refer to.
fn schema(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    jsonschema::validator_for(&whole).unwrap()
}

/// What an answer of this status is described as; `default` stands for all that have no words of their own.
fn described<'a>(document: &'a Value, path: &str, method: &str, status: u16) -> &'a Value {
    let responses = &document["paths"][path][method]["responses"];
    let own = &responses[status.to_string()];
    if own.is_null() { &responses["default"] } else { own }
}

/// Names in an answer that its description doesn't have.
fn undescribed(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"));
        return undescribed(document, target, value, at, found);
    }
    let branches = ["anyOf", "oneOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
    let branches: Vec<&Value> = branches.filter(|branch| branch["type"] != "null").collect();
    if let [branch] = branches[..] {
        return undescribed(document, branch, value, at, found);
    }
    match value {
        Value::Object(map) if schema["properties"].is_object() && branches.is_empty() => {
            for (name, value) in map {
                let described = &schema["properties"][name];
                if described.is_null() && schema["additionalProperties"].is_null() {
                    // A family has numbers of its own.
                    if !at.ends_with("architecture") && !at.ends_with("reward") {
                        found.insert(format!("{at}.{name}"));
                    }
                } else {
                    undescribed(document, described, value, &format!("{at}.{name}"), found);
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for item in items {
                undescribed(document, &schema["items"], item, at, found);
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
        undescribed(document, &content["schema"], &value, "", &mut found);
        assert!(found.is_empty(), "{target} says what isn't described: {found:?}");
    }
    status
}

/// The routes of `src/hub`, which stand there once for each kind of repository, as the document spells them.
fn routes_of_the_hub() -> BTreeSet<String> {
    let text = include_str!("../src/hub/mod.rs");
    let (of_kinds, rest) = text.split_once("// Addresses that clients print").unwrap();
    let (of_pages, rest) = rest.split_once("    router\n").unwrap();
    let kinds = ["/api/models/{namespace}/{name}", "/api/datasets/{namespace}/{name}"];
    let pages = ["/arena/{name}", "/teachers/{name}", "/datasets/arena/{name}"];
    let mut routes = BTreeSet::new();
    for (text, repositories) in [(of_kinds, &kinds[..]), (of_pages, &pages[..])] {
        for route in text.split(".route(").skip(1) {
            // `&repository`, `repository`, or `&format!("{repository}/refs")`.
            let tail = route.strip_prefix("&format!(\"{repository}").map_or("", |tail| tail.split('"').next().unwrap());
            let tail = tail.replace("{{", "{").replace("}}", "}");
            routes.extend(repositories.iter().map(|repository| format!("{repository}{tail}")));
        }
    }
    let commit = rest.split_once("let route = \"").unwrap().1.split('"').next().unwrap();
    let others = rest.split(".route(\"").skip(1).map(|route| route.split('"').next().unwrap());
    routes.extend(others.chain([commit]).map(str::to_owned));
    let routes: BTreeSet<String> = routes.iter().map(|route| route.replace("{*", "{")).collect();
    assert_eq!(routes.len(), 2 * 7 + 3 * 2 + 7, "{routes:#?}");
    routes
}

#[test]
fn every_route_of_the_code_is_described_and_nothing_else_is() {
    let document = document();
    let mut routes = BTreeSet::new();
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let found = text.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
            routes.extend(found);
        }
    }
    routes.extend(routes_of_the_hub());
    for (spelt, otherwise) in SPELT_OTHERWISE {
        assert!(routes.remove(spelt), "{spelt}");
        routes.extend(otherwise.iter().map(|path| (*path).to_owned()));
    }
    let paths = document["paths"].as_object().unwrap().keys().filter(|path| {
        // Pictures are among the pages.
        !path.starts_with("/badge/") && !path.ends_with(".svg")
    });
    assert_eq!(paths.cloned().collect::<BTreeSet<_>>(), routes);
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
        if let (Some(example), Some(of)) = (value.get("example"), value.get("schema")) {
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
    assert!(examples >= 10, "{examples}");
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
