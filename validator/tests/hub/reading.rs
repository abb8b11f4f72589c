//! Downloads: whole repositories, single files, parts of them; by branch, tag and commit; and what isn't there.

use super::client::{Client, Environment};
use crate::rounds::{by_size, play, submit};
use crate::support::{Package, Setup, TestApp, competition_toml};
use protocol::Digest;
use protocol::submission::State;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use validator::Publisher;

/// A validator with a champion; the champion's name, and its weights as they are published.
async fn with_champion() -> (TestApp, String, Vec<u8>) {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::random(&[16], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let published = miner.status(&id).await.published;
    let weights = published.iter().find(|file| file.path == "model.safetensors").unwrap();
    let weights = miner.get(&format!("/api/v1/objects/sha256/{}", weights.sha256)).await.bytes().await.unwrap();
    (app, id.to_string(), weights.to_vec())
}

#[tokio::test]
async fn hf_download_gets_the_champion() {
    let (app, _, weights) = with_champion().await;
    let client = Client::new(Environment::Hub, &app.url(""));
    let (success, output) = client.hf(&["download", "arena/digits", "--local-dir", "champion"]).await;
    assert!(success, "{output}");
    let champion = client.folder().join("champion");
    assert_eq!(std::fs::read(champion.join("model.safetensors")).unwrap(), weights);
    for file in ["README.md", "config.json", "receipt.json", "retort_network.py", ".eval_results/digits.yaml"] {
        assert!(champion.join(file).is_file(), "{file}");
    }
}

#[tokio::test]
async fn python_reads_a_champion_in_every_way_that_it_has() {
    let (app, id, weights) = with_champion().await;
    let client = Client::new(Environment::Hub, &app.url(""));
    let output = client
        .python(
            r#"
import hashlib, json
from huggingface_hub import HfApi, ModelCard, get_safetensors_metadata, hf_hub_download, model_info, snapshot_download
from huggingface_hub import HfFileSystem

info = model_info("arena/digits", files_metadata=True)
folder = snapshot_download("arena/digits")
one = hf_hub_download("arena/digits", "model.safetensors")
by_commit = hf_hub_download("arena/digits", "model.safetensors", revision=info.sha)
metadata = get_safetensors_metadata("arena/digits")
card = ModelCard.load("arena/digits")
refs = HfApi().list_repo_refs("arena/digits")
paths = [entry.path for entry in HfApi().get_paths_info("arena/digits", ["config.json", ".eval_results", "none"])]
glob = HfFileSystem().glob("arena/digits/*.safetensors")
print(json.dumps({
    "sha": info.sha,
    "siblings": sorted(sibling.rfilename for sibling in info.siblings),
    "lfs": {s.rfilename: s.lfs.sha256 for s in info.siblings if s.lfs},
    "in_commit_folder": info.sha in folder and info.sha in one and one == by_commit,
    "sha256": hashlib.sha256(open(one, "rb").read()).hexdigest(),
    "parameters": sum(metadata.parameter_count.values()),
    "pipeline_tag": info.pipeline_tag,
    "base_model": card.data.base_model,
    "main": [branch.target_commit for branch in refs.branches],
    "tags": [tag.name for tag in refs.tags],
    "files": HfApi().list_repo_files("arena/digits"),
    "commits": [commit.commit_id for commit in HfApi().list_repo_commits("arena/digits")],
    "exists": [HfApi().file_exists("arena/digits", name) for name in ("config.json", "none")],
    "paths": sorted(paths),
    "glob": glob,
}))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(&output).unwrap();
    let sha256 = Digest::of(&weights).to_string();
    assert_eq!(found["sha256"], sha256);
    assert_eq!(found["lfs"]["model.safetensors"], sha256);
    assert_eq!(found["in_commit_folder"], true);
    assert_eq!(found["parameters"], 64 * 16 + 16 + 16 * 10 + 10);
    assert_eq!(
        (&found["pipeline_tag"], &found["base_model"]),
        (&"image-classification".into(), &"teachers/digits".into())
    );
    assert_eq!(found["main"], serde_json::json!([found["sha"]]));
    assert_eq!(found["commits"], serde_json::json!([found["sha"]]));
    assert_eq!(found["tags"], serde_json::json!([]));
    assert_eq!(found["siblings"], found["files"]);
    assert_eq!(found["exists"], serde_json::json!([true, false]));
    assert_eq!(found["paths"], serde_json::json!([".eval_results", "config.json"]));
    assert_eq!(found["glob"], serde_json::json!(["arena/digits/model.safetensors"]));
    let names = client
        .python(
            r#"
import json
from huggingface_hub import HfApi, hf_hub_download
api = HfApi()
named = lambda found: sorted(repository.id for repository in found)
api.auth_check("arena/digits")
print(json.dumps({
    "arena": named(api.list_models(author="arena")),
    "all": named(api.list_models()),
    "searched": named(api.list_models(search="teach", limit=5)),
    "data": named(api.list_datasets(author="arena")),
    "changes": api.list_repo_refs("arena/digits", include_pull_requests=True).pull_requests,
    "head": hf_hub_download("arena/digits", "config.json", revision="HEAD") == hf_hub_download("arena/digits", "config.json"),
}))
"#,
        )
        .await;
    let names: Value = serde_json::from_str(names.trim().lines().last().unwrap()).unwrap();
    assert_eq!(names["arena"], serde_json::json!(["arena/digits"]));
    assert_eq!(names["all"], serde_json::json!(["arena/digits", format!("submissions/{id}"), "teachers/digits"]));
    assert_eq!(names["searched"], serde_json::json!(["teachers/digits"]));
    assert_eq!(names["data"], serde_json::json!(["arena/digits"]));
    assert_eq!((&names["changes"], &names["head"]), (&serde_json::json!([]), &true.into()));
    // As git holds them, which is how JavaScript's client asks whether a file is there.
    let raw = async |path: &str| app.miner(1).get(&format!("/arena/digits/raw/main/{path}")).await;
    assert_eq!(raw("config.json").await.status(), 200);
    assert!(raw("model.safetensors").await.text().await.unwrap().contains(&format!("oid sha256:{sha256}")));
    assert_eq!(raw("none").await.status(), 404);
    // The same model under its own name, as another repository.
    let own: Value = app.miner(1).get(&format!("/api/models/submissions/{id}")).await.json().await.unwrap();
    assert_ne!(own["sha"], found["sha"]);
}

#[tokio::test]
async fn an_old_python_client_reads_and_writes_too() {
    let (app, _, weights) = with_champion().await;
    let miner = app.miner(2);
    let token = super::writing::token(&miner).await.token;
    let client = Client::new(Environment::HubOld, &app.url("")).with_token(&token);
    Package::random(&[16], 8).write(&client.folder().join("student"));
    let output = client
        .python(
            r#"
import hashlib, huggingface_hub, os
folder = huggingface_hub.snapshot_download("arena/digits")
weights = huggingface_hub.hf_hub_download("arena/digits", "model.safetensors")
print(huggingface_hub.__version__, hashlib.sha256(open(weights, "rb").read()).hexdigest(), len(os.listdir(folder)))
print(huggingface_hub.upload_folder(repo_id="arena/digits", folder_path="student").commit_url)
"#,
        )
        .await;
    let expected = format!("0.36.0 {} 10\n", Digest::of(&weights));
    assert!(output.starts_with(&expected), "{output}");
    app.wait_for(&super::writing::submission(output.lines().last().unwrap()), State::Scored).await;
}

#[tokio::test]
async fn the_tag_of_a_round_never_moves() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let first = submit(&app, &app.miner(1), 20).await;
    play(&app, 1).await;
    let sha = async |revision: &str| -> Value {
        let target = format!("/api/models/arena/digits/revision/{revision}");
        let info: Value = app.miner(1).get(&target).await.json().await.unwrap();
        info["sha"].clone()
    };
    let (main, tag) = (sha("main").await, sha("round-1").await);
    assert_eq!(main, tag, "the champion is the same, so is the commit");
    let better = submit(&app, &app.miner(2), 25).await;
    play(&app, 2).await;
    assert_ne!(sha("main").await, main);
    assert_eq!((sha("round-1").await, sha("round-2").await), (tag.clone(), sha("main").await));

    let client = Client::new(Environment::Hub, &app.url(""));
    let output = client
        .python(
            r#"
import json
from huggingface_hub import HfApi, hf_hub_download
read = lambda revision: json.load(open(hf_hub_download("arena/digits", "receipt.json", revision=revision)))
submission = lambda revision: read(revision)["receipt"]["subject"]["submission"]
refs = HfApi().list_repo_refs("arena/digits")
print(json.dumps({
    "by_tag": [submission("round-1"), submission("round-2"), submission("main")],
    "tags": {tag.name: tag.target_commit for tag in refs.tags},
    "commits": [commit.commit_id for commit in HfApi().list_repo_commits("arena/digits")],
}))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(&output).unwrap();
    let (first, better) = (first.to_string(), better.to_string());
    assert_eq!(found["by_tag"], serde_json::json!([first, better, better]));
    assert_eq!(found["tags"], serde_json::json!({ "round-1": tag, "round-2": sha("main").await }));
    assert_eq!(found["commits"], serde_json::json!([sha("main").await, tag]));
}

#[tokio::test]
async fn what_is_not_there_is_the_client_s_own_exception_with_our_reason() {
    let app = TestApp::with_competition(Setup::default()).await;
    let client = Client::new(Environment::Hub, &app.url(""));
    let output = client
        .python(
            r#"
import json
from huggingface_hub import hf_hub_download, model_info, snapshot_download

def outcome(act):
    try:
        return act()
    except Exception as error:
        return [type(error).__name__, str(error)]

print(json.dumps({
    "vacant": outcome(lambda: model_info("arena/digits")),
    "vacant snapshot": outcome(lambda: snapshot_download("arena/digits")),
    "no competition": outcome(lambda: model_info("arena/none")),
    "somewhere else": outcome(lambda: model_info("google/bert")),
    "no slash": outcome(lambda: model_info("bert")),
    "no tag": outcome(lambda: model_info("arena/digits", revision="round-7")),
    "no commit": outcome(lambda: model_info("arena/digits", revision="0" * 40)),
    "no file": outcome(lambda: hf_hub_download("teachers/digits", "nothing.bin")),
    "not scored": outcome(lambda: model_info("submissions/01ARZ3NDEKTSV4RRFFQ69G5FAV")),
}))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(&output).unwrap();
    for (case, exception, reason) in [
        ("vacant", "RevisionNotFoundError", "digits has no champion yet"),
        ("vacant snapshot", "RevisionNotFoundError", "digits has no champion yet"),
        ("no competition", "RepositoryNotFoundError", "there is no repository arena/none"),
        ("somewhere else", "RepositoryNotFoundError", "there is no repository google/bert"),
        ("no slash", "RepositoryNotFoundError", "no such repository"),
        ("no tag", "RevisionNotFoundError", "arena/digits has no round-7"),
        ("no commit", "RevisionNotFoundError", "has no commit 000"),
        ("no file", "RemoteEntryNotFoundError", "there is no file"),
        ("not scored", "RepositoryNotFoundError", "there is no repository submissions/"),
    ] {
        assert_eq!(found[case][0], exception, "{case}: {}", found[case]);
        assert!(found[case][1].as_str().unwrap().contains(reason), "{case}: {}", found[case]);
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_ended() {
    // The client writes what it has after 10 MB of it.
    let mut package = Package::mlp(&[2_048, 2_048], 7);
    let weights = package.file("model.safetensors").clone();
    let app = TestApp::start(Setup::default()).await;
    let mut toml = competition_toml("digits", "");
    for limit in ["size_bytes_max = 20000", "parameters_max = 2000", "macs_max = 2000", "activation_bytes_max = 2000"] {
        toml = toml.replace(limit, &format!("{limit}0000"));
    }
    let manifest = app.write_competition(&toml);
    package.write(&app.dir.path().join("teacher"));
    Publisher::of(&app.app).publish(&manifest, validator::evaluator::silent()).await.unwrap();
    let (proxy, ranges) = breaking_proxy(app.address).await;
    let client = Client::new(Environment::Hub, &format!("http://{proxy}"));
    let output = client
        .python(
            r#"
import hashlib
from huggingface_hub import hf_hub_download
path = hf_hub_download("teachers/digits", "model.safetensors")
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"#,
        )
        .await;
    assert_eq!(output.trim(), Digest::of(&weights).to_string());
    let ranges = ranges.lock().unwrap().clone();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=10485760-"), "it began again");
}

/// What each request for the weights asked for.
type Ranges = Arc<Mutex<Vec<Option<String>>>>;

/// A proxy that cuts the first download of the weights off after some of its bytes.
async fn breaking_proxy(server: SocketAddr) -> (SocketAddr, Ranges) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, ranges) = (listener.local_addr().unwrap(), Ranges::default());
    let seen = Arc::clone(&ranges);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, server, Arc::clone(&seen)));
        }
    });
    (address, ranges)
}

async fn pass(mut near: TcpStream, server: SocketAddr, seen: Ranges) -> std::io::Result<()> {
    let mut far = TcpStream::connect(server).await?;
    let (mut asked, mut answered, mut left) = (vec![0; 16 * 1024], vec![0; 64 * 1024], usize::MAX);
    loop {
        tokio::select! {
            count = near.read(&mut asked) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                let head = String::from_utf8_lossy(&asked[..count]).to_lowercase();
                if head.starts_with("get ") && head.lines().next().unwrap().contains("model.safetensors") {
                    let range = head.lines().find_map(|line| line.strip_prefix("range: ")).map(str::to_owned);
                    let mut seen = seen.lock().unwrap();
                    left = if seen.is_empty() { 12_000_000 } else { usize::MAX };
                    seen.push(range);
                }
                far.write_all(&asked[..count]).await?;
            }
            count = far.read(&mut answered) => {
                let count = count?;
                if count == 0 || left < count {
                    return Ok(());
                }
                left -= count;
                near.write_all(&answered[..count]).await?;
            }
        }
    }
}

#[tokio::test]
async fn the_address_of_a_repository_leads_to_its_page() {
    let app = TestApp::with_competition(Setup::default()).await;
    for address in ["/arena/digits", "/arena/digits/tree/main/", "/teachers/digits", "/datasets/arena/digits/tree/main"]
    {
        let page = app.miner(1).get(address).await;
        assert_eq!((page.status().as_u16(), page.url().path()), (200, "/competitions/digits"), "{address}");
    }
}

/// The Hub has pages at these addresses, and people paste them.
#[tokio::test]
async fn the_hub_s_addresses_of_pages_lead_where_they_would() {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::random(&[16], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let of_submission = format!("/submissions/{id}");
    for (address, leads) in [
        ("/arena/digits/commits/main".to_owned(), "/competitions/digits".to_owned()),
        (format!("{of_submission}/tree/main"), of_submission.clone()),
        (format!("{of_submission}/commits/main"), of_submission.clone()),
        (format!("{of_submission}/blob/main/config.json"), format!("{of_submission}/resolve/main/config.json")),
        ("/arena/digits/blob/main/README.md?x=1".to_owned(), "/arena/digits/resolve/main/README.md".to_owned()),
        (
            "/datasets/arena/digits/blob/main/README.md".to_owned(),
            "/datasets/arena/digits/resolve/main/README.md".into(),
        ),
        ("/teachers/digits/blob/main/config.json".to_owned(), "/teachers/digits/resolve/main/config.json".to_owned()),
    ] {
        let page = miner.get(&address).await;
        assert_eq!((page.status().as_u16(), page.url().path()), (200, leads.as_str()), "{address}");
    }
    for address in [
        "/teachers/digits/blob/main/none.json",
        "/teachers/digits/blob/round-9/config.json",
        "/arena/none/blob/main/config.json",
        "/teachers/digits/resolve/main/none.json",
        "/submissions/nothing/tree/main/x/blob",
    ] {
        let page = miner.http.get(app.url(address)).header("accept", "text/html").send().await.unwrap();
        let kind = page.headers()["content-type"].to_str().unwrap().to_owned();
        let is_home = address.contains("tree") && page.url().path() == "/";
        assert!(is_home || page.status() == 404 && kind.starts_with("text/html"), "{address}: {page:?}");
    }
}

#[tokio::test]
async fn the_terminal_says_that_there_is_no_champion_yet() {
    let app = TestApp::with_competition(Setup::default()).await;
    let client = Client::new(Environment::Hub, &app.url(""));
    for (repository, reason) in [
        ("arena/digits", "digits has no champion yet, so arena/digits is empty"),
        ("arena/none", "there is no repository arena/none"),
    ] {
        let (success, output) = client.hf(&["download", repository]).await;
        assert!(!success && output.contains(reason), "{output}");
    }
}

#[tokio::test]
async fn a_file_is_described_as_http_has_it() {
    let (app, _, weights) = with_champion().await;
    let miner = app.miner(1);
    let target = app.url("/arena/digits/resolve/main/model.safetensors");
    let head = miner.http.head(&target).send().await.unwrap();
    let tag = format!("\"{}\"", Digest::of(&weights));
    assert_eq!((head.status().as_u16(), head.headers()["etag"].to_str().unwrap()), (200, tag.as_str()));
    assert_eq!(head.headers()["content-length"], weights.len().to_string());
    let commit = head.headers()["x-repo-commit"].to_str().unwrap().to_owned();
    assert_eq!(commit.len(), 40);
    assert_eq!(head.headers()["cache-control"], "no-cache");
    let known = miner.http.get(&target).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!((known.status().as_u16(), known.headers()["x-repo-commit"].to_str().unwrap()), (304, commit.as_str()));
    let part = miner.http.get(&target).header("range", "bytes=8-15").send().await.unwrap();
    assert_eq!(part.headers()["content-range"], format!("bytes 8-15/{}", weights.len()));
    assert_eq!(part.bytes().await.unwrap(), weights[8..16]);
    let by_commit = miner.get(&format!("/arena/digits/resolve/{commit}/model.safetensors")).await;
    assert_eq!(by_commit.headers()["cache-control"], "public, max-age=31536000, immutable");
    let readme = miner.get("/arena/digits/resolve/main/README.md").await;
    assert_eq!(readme.headers()["etag"].len(), 42, "git's id, since it is a small file");
    let missing = miner.http.head(app.url("/arena/digits/resolve/main/none")).send().await.unwrap();
    let code = |name: &str| missing.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (missing.status().as_u16(), code("x-error-code"), code("x-repo-commit")),
        (404, "EntryNotFound".into(), commit)
    );
}

#[tokio::test]
async fn a_submission_is_nobody_s_before_it_is_scored() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    let created = miner.announce("digits", &Package::random(&[8], 3)).await.unwrap();
    let target = format!("/submissions/{}/resolve/main/config.json", created.id);
    let answer = miner.get(&target).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["x-error-code"].to_str().unwrap()), (404, "RepoNotFound"));
}
