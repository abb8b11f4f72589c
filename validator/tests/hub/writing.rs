//! Uploads by the clients that people have: what enters a submission, and what is refused and why, as its terminal shows.

use super::client::{Client, Environment};
use crate::support::{Miner, Package, Setup, TestApp, accept};
use protocol::SubmissionId;
use protocol::api::{TokenCreated, TokenView};
use protocol::submission::State;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;

/// A token of the miner's hotkey, for an hour.
pub(super) async fn token(miner: &Miner) -> TokenCreated {
    let body = json!({ "label": "test", "expires_in_seconds": 3_600 }).to_string();
    let answer = miner.post("/api/v1/tokens", body.into_bytes()).await;
    accept(answer, &[StatusCode::CREATED]).await.unwrap().json().await.unwrap()
}

/// A client with a token of the miner, and a folder with `package` in it.
async fn client(app: &TestApp, miner: &Miner, package: &Package) -> Client {
    let client = Client::new(Environment::Hub, &app.url("")).with_token(&token(miner).await.token);
    package.write(&client.folder().join("student"));
    client
}

/// The submission whose page an address is.
pub(super) fn submission(address: &str) -> SubmissionId {
    address.trim().rsplit('/').next().unwrap().parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}

fn write(folder: &Path, file: &str, bytes: &[u8]) {
    std::fs::write(folder.join("student").join(file), bytes).unwrap();
}

#[tokio::test]
async fn hf_upload_enters_a_submission() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let mut package = Package::random(&[16], 7);
    let client = client(&app, &miner, &package).await;
    let (success, output) = client.hf(&["upload", "arena/digits", "student", ".", "--format", "json"]).await;
    assert!(success, "{output}");
    let url = output.split('"').find(|part| part.contains("/submissions/")).unwrap_or_else(|| panic!("{output}"));
    let id = submission(url);
    assert_eq!(miner.get(&format!("/submissions/{id}")).await.status(), 200, "the address is its page");
    app.wait_for(&id, State::Scored).await;
    let status = miner.status(&id).await;
    assert_eq!((status.hotkey, status.files), (miner.hotkey(), package.declarations()));
    assert_eq!(status.report.unwrap().package_sha256, package.sha256());
    // Committed to before its bytes had a name, like any other.
    let commitment = app.app.db.leaf(&format!("commitment/{id}")).await.unwrap();
    assert!(commitment.is_some() || app.app.db.count_leaves().await.unwrap().0 > 0);
}

#[tokio::test]
async fn every_way_of_python_to_upload_enters_the_same_submission_once() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let client = client(&app, &miner, &Package::random(&[16], 7)).await;
    write(client.folder(), "README.md", b"---\nlicense: mit\n---\n# mine <script>alert(1)</script>\n");
    let output = client
        .python(
            r#"
import json, warnings
warnings.simplefilter("ignore")
from huggingface_hub import CommitOperationAdd, HfApi, whoami
api = HfApi()
api.create_repo("arena/digits", exist_ok=True)
folder = api.upload_folder(repo_id="arena/digits", folder_path="student")
files = ["config.json", "model.safetensors", "README.md"]
add = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=f"student/{name}") for name in files]
commit = api.create_commit("arena/digits", operations=add, commit_message="again")
print(json.dumps([str(folder), folder.oid, str(commit), commit.oid, str(commit.repo_url), whoami()["name"]]))
"#,
        )
        .await;
    let found: [String; 6] = serde_json::from_str(&output).unwrap();
    let [folder, folder_oid, commit, commit_oid, repository, name] = found;
    assert_eq!((&folder, &folder_oid), (&commit, &commit_oid), "the same package is the same submission");
    assert_eq!(commit_oid.len(), 40);
    assert_eq!((repository, name), (commit.clone(), miner.hotkey().to_string()));
    let id = submission(&commit);
    app.wait_for(&id, State::Scored).await;
    // Whatever a miner writes isn't what people read.
    let card = miner.get(&format!("/submissions/{id}/resolve/main/README.md")).await.text().await.unwrap();
    assert!(!card.contains("alert(1)") && card.contains("## Use it"), "{card}");
}

#[tokio::test]
async fn what_cannot_be_taken_says_why_in_the_terminal() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let package = Package::random(&[16], 7);
    let client = client(&app, &miner, &package).await;
    let folder = client.folder().to_owned();
    let upload = async |arguments: &[&str]| {
        let mut all = vec!["upload", "arena/digits", "student", "."];
        all.extend(arguments);
        let (success, output) = client.hf(&all).await;
        assert!(!success, "{output}");
        output
    };
    let only_config = upload(&["--include", "config.json"]).await;
    assert!(only_config.contains("model.safetensors is not announced (of a .pt"), "{only_config}");

    write(&folder, "notes.txt", b"x");
    let (success, alone) = client.hf(&["upload", "arena/digits", "student/notes.txt", "notes.txt"]).await;
    assert!(!success && alone.contains("is no file of a package") && alone.contains("--include"), "{alone}");
    std::fs::remove_file(folder.join("student/notes.txt")).unwrap();

    write(&folder, "model.safetensors", &[0; 20_001]);
    let large = upload(&[]).await;
    assert!(large.contains("model.safetensors has 20001 bytes, limit 20000"), "{large}");
    package.write(&folder.join("student"));

    let elsewhere = client.hf(&["upload", "arena/none", "student", "."]).await;
    assert!(!elsewhere.0 && elsewhere.1.contains("there is no competition none"), "{}", elsewhere.1);
    let data = client.hf(&["upload", "arena/digits", "student", ".", "--repo-type", "dataset"]).await;
    assert!(!data.0 && data.1.contains("submissions are models"), "{}", data.1);
    let request = upload(&["--create-pr"]).await;
    assert!(request.contains("a submission is no pull request"), "{request}");
    let of_another = format!("{}/digits", app.miner(2).hotkey());
    let another = client.hf(&["upload", &of_another, "student", "."]).await;
    assert!(!another.0 && another.1.contains("the token belongs to"), "{}", another.1);
    let own = format!("{}/digits", miner.hotkey());
    let (success, output) = client.hf(&["upload", &own, "student", ".", "--quiet"]).await;
    assert!(success, "{output}");
    app.wait_for(&submission(&output), State::Scored).await;
}

/// A trainer leaves files and folders beside a model: they stay where they are, and whoever sends the folder hears so in the words of
/// `retort miner submit`.
#[tokio::test]
async fn what_lies_beside_a_package_stays_where_it_is_and_a_package_in_a_folder_is_told() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let package = Package::random(&[16], 7);
    let client = client(&app, &miner, &package).await;
    let student = client.folder().join("student");
    for file in ["checkpoints/500/config.json", "checkpoints/500/optimizer.pt", "runs/events.log", "runs/LICENSE"] {
        std::fs::create_dir_all(student.join(file).parent().unwrap()).unwrap();
        std::fs::write(student.join(file), b"x").unwrap();
    }
    std::fs::write(student.join("pytorch_model.bin"), b"x").unwrap();
    let beside = ["checkpoints/", "pytorch_model.bin", "runs/"];
    let words = protocol::package::left_out(beside).unwrap();
    let output = client
        .python(
            "import sys; sys.stderr = sys.stdout\nfrom huggingface_hub import upload_folder\n\
             print(upload_folder(repo_id='arena/digits', folder_path='student'))",
        )
        .await;
    assert!(output.contains(&words), "{words}: {output}");
    let id = submission(output.trim().lines().last().unwrap());
    app.wait_for(&id, State::Scored).await;
    assert_eq!(miner.status(&id).await.files, package.declarations());

    // A client that asks nothing first hears it with the answer.
    let mut other = Package::random(&[16], 8);
    let body = line("config.json", &base64(other.file("config.json")))
        + &line("notes.txt", &base64(b"x"))
        + &line("model.safetensors", &base64(other.file("model.safetensors")));
    let url = app.url("/api/models/arena/digits/commit/main");
    let sent = miner.http.post(url).bearer_auth(token(&miner).await.token).body(body).send().await.unwrap();
    let told = sent.headers()["x-hf-warning"].to_str().unwrap().to_owned();
    assert!(sent.status() == 200 && told.contains("notes.txt stays where it is"), "{told}");
    let (status, problem) = commit(&app, &token(&miner).await.token, line("notes.txt", &base64(b"x"))).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("file_unexpected")), "{problem}");

    let (success, output) = client.hf(&["upload", "arena/digits", "student", "student"]).await;
    assert!(!success && output.contains("hf upload arena/digits ./student ."), "{output}");
}

/// As the Hub has it: a repository is made once, and whoever says that it may be there isn't stopped.
#[tokio::test]
async fn a_repository_of_one_s_own_is_made_once() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    let client = client(&app, &miner, &Package::random(&[16], 7)).await;
    let output = client
        .python(&format!(
            r#"
import json, warnings
warnings.simplefilter("ignore")
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
api, found = HfApi(), []
def make(repo, **how):
    try:
        found.append(str(api.create_repo(repo, **how)))
    except HfHubHTTPError as error:
        found.append([error.response.status_code, "you already have" in str(error)])
make("arena/digits")
api.upload_folder(repo_id="arena/digits", folder_path="student")
for repo in ["arena/digits", "{}/digits"]:
    make(repo)
    make(repo, exist_ok=True)
print(json.dumps(found))
"#,
            miner.hotkey()
        ))
        .await;
    let found: Value = serde_json::from_str(output.trim().lines().last().unwrap()).unwrap();
    let (arena, own) = (app.url("/arena/digits"), app.url(&format!("/{}/digits", miner.hotkey())));
    let exists = json!([409, true]);
    assert_eq!(found, json!([arena, exists, arena, exists, own]));
}

#[tokio::test]
async fn a_token_that_is_none_opens_nothing_and_says_so() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let made = token(&miner).await;
    let attempt = async |token: Option<&str>| {
        let client = Client::new(Environment::Hub, &app.url(""));
        let client = match token {
            Some(token) => client.with_token(token),
            None => client,
        };
        Package::random(&[16], 7).write(&client.folder().join("student"));
        let (success, output) = client.hf(&["upload", "arena/digits", "student", "."]).await;
        assert!(!success, "{output}");
        output
    };
    assert!(attempt(None).await.to_lowercase().contains("token"));
    // A client that finds the machine busy says that instead, so it is asked again.
    let told = async |token: &str, words: &str| {
        let mut output = String::new();
        for _ in 0..3 {
            output = attempt(Some(token)).await;
            if output.contains(words) {
                return;
            }
        }
        panic!("{words} is not in {output}");
    };
    told("retort_nonsense", "this validator knows no such token").await;
    // Somebody else can neither see nor end it.
    let target = format!("/api/v1/tokens/{}", made.view.id);
    let stranger = app.miner(2);
    let end =
        async |who: &Miner| who.send(Method::DELETE, &target, &who.sign("DELETE", &target, b""), Vec::new()).await;
    assert_eq!(end(&stranger).await.status(), 404);
    let list = async |who: &Miner| -> Vec<TokenView> {
        let headers = who.sign("GET", "/api/v1/tokens", b"");
        who.send(Method::GET, "/api/v1/tokens", &headers, Vec::new()).await.json().await.unwrap()
    };
    assert_eq!((list(&miner).await, list(&stranger).await), (vec![made.view.clone()], vec![]));
    app.app.clock.advance(3_600);
    told(&made.token, "the token's time is over").await;
    let again = token(&miner).await;
    let target = format!("/api/v1/tokens/{}", again.view.id);
    let headers = miner.sign("DELETE", &target, b"");
    assert_eq!(miner.send(Method::DELETE, &target, &headers, Vec::new()).await.status(), 204);
    told(&again.token, "this validator knows no such token").await;
    // A copy of the database opens nothing.
    let database = std::fs::read(app.dir.path().join("data.sqlite")).unwrap();
    let holds = |text: &str| database.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(&made.token) && !holds(made.token.trim_start_matches("retort_")));
}

#[tokio::test]
async fn files_that_come_one_by_one_are_entered_when_they_are_all_there() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let package = Package::random(&[16], 7);
    let client = client(&app, &miner, &package).await;
    let (success, output) = client.hf(&["upload", "arena/digits", "student/model.safetensors"]).await;
    assert!(success && output.contains("/arena/digits"), "{output}");
    assert_eq!(app.app.db.count_by_state().await.unwrap(), [], "nothing is entered yet");
    let output = client
        .python(
            r#"
from huggingface_hub import upload_file
def upload(name):
    return upload_file(repo_id="arena/digits", path_or_fileobj="student/" + name, path_in_repo=name)
print(upload("config.json").commit_url)
"#,
        )
        .await;
    let id = submission(&output);
    app.wait_for(&id, State::Scored).await;
    assert_eq!(miner.status(&id).await.files, package.declarations());
    // Too late, the first is forgotten; the client says what is missing.
    let upload = |name: &str| {
        format!(
            "import sys; sys.stderr = sys.stdout\nfrom huggingface_hub import upload_file\nupload_file(repo_id='arena/digits', \
             path_or_fileobj='student/{name}', path_in_repo='{name}')"
        )
    };
    let output = client.python(&upload("config.json")).await;
    assert!(output.contains("nothing is entered yet: model.safetensors is missing"), "{output}");
    app.app.clock.advance(600);
    let output = client.python(&upload("model.safetensors")).await;
    assert!(output.contains("nothing is entered yet: config.json is missing"), "{output}");
}

/// A commit written by hand; what came of it.
async fn commit(app: &TestApp, token: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let url = app.url("/api/models/arena/digits/commit/main");
    let request = app.miner(1).http.post(url).bearer_auth(token).header("content-type", "application/x-ndjson");
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn line(path: &str, content: &str) -> String {
    json!({ "key": "file", "value": { "content": content, "path": path, "encoding": "base64" } }).to_string() + "\n"
}

#[tokio::test]
async fn a_commit_that_lies_or_breaks_off_leaves_nothing() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let token = token(&miner).await.token;
    let mut package = Package::random(&[16], 7);
    let header = "{\"key\":\"header\",\"value\":{\"summary\":\"x\",\"description\":\"\"}}\n".to_owned();
    let encoded = |bytes: &[u8]| base64(bytes);
    let (config, weights) = (encoded(package.file("config.json")), encoded(package.file("model.safetensors")));
    let whole = header.clone() + &line("config.json", &config) + &line("model.safetensors", &weights);
    let large = encoded(&vec![0; 300_000]);
    let pointer = json!({ "key": "lfsFile", "value": {
        "path": "model.safetensors", "algo": "sha256", "oid": "00".repeat(32), "size": 5 } });
    let stale = json!({ "key": "header", "value": { "summary": "x", "parentCommit": "ab".repeat(20) } });
    for (why, body, status, code) in [
        ("the weights are missing", header.clone() + &line("config.json", &config), 422, "file_missing"),
        ("a file is empty", whole.clone() + &line("README.md", ""), 422, "file_missing"),
        ("a file comes twice", whole.clone() + &line("config.json", &config), 422, "file_unexpected"),
        ("another file", whole.clone() + &line("../x", &config), 422, "file_unexpected"),
        ("too large", header.clone() + &line("model.safetensors", &large), 422, "file_too_large"),
        ("no base64", header.clone() + &line("config.json", "###"), 400, "commit_malformed"),
        ("cut off inside a file", whole[..whole.len() - 500].to_owned(), 400, "commit_malformed"),
        ("by its digest alone", header.clone() + &pointer.to_string() + "\n", 422, "commit_refused"),
        ("upon another commit", format!("{stale}\n{}", &whole[header.len()..]), 412, "stale_parent"),
        ("nothing at all", String::new(), 422, "file_missing"),
        ("no commit", "nonsense".to_owned(), 400, "commit_malformed"),
    ] {
        let (found, problem) = commit(&app, &token, body).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{why}: {problem}");
    }
    assert_eq!(app.app.db.count_by_state().await.unwrap(), [], "nothing of it was entered");
    assert_eq!(std::fs::read_dir(app.dir.path().join("tmp")).unwrap().count(), 0, "no file was left");

    // A connection that ends before its body does.
    let half = whole.as_bytes()[..whole.len() / 2].to_vec();
    let broken = futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]);
    let url = app.url("/api/models/arena/digits/commit/main");
    let request = miner.http.post(url).bearer_auth(&token).body(reqwest::Body::wrap_stream(broken));
    assert!(request.send().await.is_err());
    assert_eq!(app.app.db.count_by_state().await.unwrap(), []);

    let (status, answer) = commit(&app, &token, whole).await;
    assert_eq!(status, 200, "{answer}");
    app.wait_for(&submission(answer["commitUrl"].as_str().unwrap()), State::Scored).await;
}

#[tokio::test]
async fn bytes_that_are_another_model_s_are_a_submission_of_their_own() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let token = token(&miner).await.token;
    let mut package = Package::random(&[16], 7);
    // Announced first, as who trusts the validator less does; then other bytes come under the same names.
    let created = miner.announce("digits", &package).await.unwrap();
    let mut other = Package::random(&[16], 8);
    let body = |package: &mut Package| {
        line("config.json", &base64(package.file("config.json")))
            + &line("model.safetensors", &base64(package.file("model.safetensors")))
    };
    let (status, answer) = commit(&app, &token, body(&mut other)).await;
    assert_eq!(status, 200, "{answer}");
    let second = submission(answer["commitUrl"].as_str().unwrap());
    assert_ne!(second, created.id, "what was announced isn't what came");
    let (_, answer) = commit(&app, &token, body(&mut package)).await;
    assert_eq!(submission(answer["commitUrl"].as_str().unwrap()), created.id, "what was announced came");
    for id in [&created.id, &second] {
        app.wait_for(id, State::Scored).await;
    }
}

#[tokio::test]
async fn quotas_hold_for_commits_and_are_told_before_the_bytes_are_sent() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    for seed in 0..4 {
        let id = miner.submit(&Package::random(&[16], 100 + seed)).await.unwrap();
        app.wait_for(&id, State::Scored).await;
    }
    let mut fifth = Package::random(&[16], 7);
    let client = client(&app, &miner, &fifth).await;
    let (success, output) = client.hf(&["upload", "arena/digits", "student", "."]).await;
    assert!(!success && output.contains("4 submissions in 24 hours are the limit of digits"), "{output}");
    let token = token(&miner).await.token;
    let body = line("config.json", &base64(fifth.file("config.json")))
        + &line("model.safetensors", &base64(fifth.file("model.safetensors")));
    let (status, problem) = commit(&app, &token, body).await;
    // Not 429, which clients obey by waiting for a day.
    assert_eq!((status, problem["code"].as_str()), (403, Some("quota_exhausted")));
    assert_eq!(problem["retry_after_seconds"], 24 * 3_600);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn what_is_rejected_is_told_in_the_terminal_and_not_called_uploaded() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let package = Package::random(&[16], 7).with_config(|config| config["architecture"]["hidden"] = json!([17]));
    let client = client(&app, &miner, &package).await;
    let (success, output) = client.hf(&["upload", "arena/digits", "student", "."]).await;
    assert!(!success && output.contains("must be [17, 64]. Make config.json describe"), "{output}");
    assert_eq!(app.app.db.count_by_state().await.unwrap(), [(State::Rejected, 1)]);
}

#[tokio::test]
async fn what_was_downloaded_is_uploaded_again_with_other_weights() {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let first = app.miner(1).submit(&Package::random(&[16], 7)).await.unwrap();
    app.wait_for(&first, State::Scored).await;
    let miner = app.miner(2);
    let client = Client::new(Environment::Hub, &app.url("")).with_token(&token(&miner).await.token);
    let repository = format!("submissions/{first}");
    let (success, output) = client.hf(&["download", &repository, "--local-dir", "student"]).await;
    assert!(success, "{output}");
    let mut other = Package::random(&[16], 8);
    write(client.folder(), "model.safetensors", other.file("model.safetensors"));
    for (file, bytes) in [(".DS_Store", &b"\0"[..]), ("LICENSE", b"MIT\n"), (".gitattributes", b"* text\n")] {
        write(client.folder(), file, bytes);
    }
    // Code of ours that was changed would not be run: whoever sends it shall know.
    let code = client.folder().join("student/modeling_retort.py");
    let served = std::fs::read(&code).unwrap();
    std::fs::write(&code, b"print('mine')\n").unwrap();
    let (success, output) = client.hf(&["upload", "arena/digits", "student", "."]).await;
    assert!(!success && output.contains("\"modeling_retort.py\" is no file of a package"), "{output}");
    std::fs::write(&code, served).unwrap();

    let (success, output) = client.hf(&["upload", "arena/digits", "student", ".", "--quiet"]).await;
    assert!(success, "{output}");
    let second = submission(&output);
    assert_ne!(second, first);
    app.wait_for(&second, State::Scored).await;
}
