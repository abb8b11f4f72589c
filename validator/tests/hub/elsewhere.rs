//! Clients that must go elsewhere: to a bucket that signs its addresses, and in another language.

use super::client::{Client, Environment, rust};
use super::writing::{submission, token};
use crate::rounds::{by_size, play, submit};
use crate::s3::{objects, server};
use crate::support::{Package, Setup, TestApp};
use protocol::Digest;
use protocol::submission::State;

#[tokio::test]
async fn weights_come_from_the_bucket_where_it_can_sign() {
    let dir = tempfile::tempdir().unwrap();
    // Another host than ours, as a bucket is.
    let address = server(&dir.path().join("s3")).await.replace("127.0.0.1", "localhost");
    let (objects, _) = objects(&address, &dir.path().join("tmp"));
    let app = TestApp::with_open_packages(Setup { objects: Some(objects), ..Setup::default() }).await;
    let miner = app.miner(1);

    let token = token(&miner).await.token;
    let client = Client::new(Environment::Hub, &app.url("")).with_token(&token);
    Package::random(&[16], 7).write(&client.folder().join("student"));
    let (success, output) = client.hf(&["upload", "arena/digits", "student", ".", "--quiet"]).await;
    assert!(success, "{output}");
    let id = submission(&output);
    app.wait_for(&id, State::Scored).await;

    let target = app.url("/arena/digits/resolve/main/model.safetensors");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let head = http.head(&target).send().await.unwrap();
    let published = miner.status(&id).await.published;
    let weights = published.iter().find(|file| file.path == "model.safetensors").unwrap();
    let value = |name: &str| head.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(head.status(), 302);
    assert!(value("location").starts_with("http://localhost:"), "{}", value("location"));
    assert_eq!(value("x-linked-etag"), format!("\"{}\"", weights.sha256));
    assert_eq!((value("x-linked-size"), value("cache-control")), (weights.size.to_string(), "no-store".to_owned()));
    assert_eq!(value("x-repo-commit").len(), 40);

    let output = client
        .python(
            r#"
import hashlib
from huggingface_hub import get_safetensors_metadata, snapshot_download
folder = snapshot_download("arena/digits")
print(hashlib.sha256(open(folder + "/model.safetensors", "rb").read()).hexdigest())
print(sum(get_safetensors_metadata("arena/digits").parameter_count.values()))
"#,
        )
        .await;
    assert_eq!(output, format!("{}\n1210\n", weights.sha256));
}

#[tokio::test]
async fn rust_reads_and_writes_with_its_own_client() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let champion = submit(&app, &app.miner(1), 25).await;
    play(&app, 1).await;
    let published = app.miner(1).status(&champion).await.published;
    let sha256 = published.iter().find(|file| file.path == "model.safetensors").unwrap().sha256;
    let miner = app.miner(2);
    let client = Client::new(Environment::Hub, &app.url("")).with_token(&token(&miner).await.token);
    let mut commits = Vec::new();
    for revision in ["main", "round-1"] {
        let output = rust(&client, &["read", "arena/digits", revision]).await;
        let [commit, file, files, tags, missing] = output.lines().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(Digest::of(&std::fs::read(file).unwrap()), sha256);
        assert_eq!((commit.len(), tags), (40, "round-1"));
        // A form may be measured by then, and is one more.
        assert!(["10", "11"].contains(&files), "{files}");
        assert!(missing.to_lowercase().contains("not found"), "{missing}");
        commits.push(commit.to_owned());
    }
    assert_eq!(commits[0], commits[1]);
    let range = rust(&client, &["range", "arena/digits", "model.safetensors", "8", "12"]).await;
    assert_eq!(range.trim().len(), 8, "{range}");

    Package::random(&[16], 8).write(&client.folder().join("student"));
    let address = rust(&client, &["upload-folder", "arena/digits", "student"]).await;
    app.wait_for(&submission(&address), State::Scored).await;
    Package::random(&[16], 9).write(&client.folder().join("other"));
    let part = rust(&client, &["upload-file", "arena/digits", "other/config.json", "config.json"]).await;
    assert!(part.trim().ends_with("/arena/digits"), "{part}");
    let weights = ["upload-file", "arena/digits", "other/model.safetensors", "model.safetensors"];
    let second = submission(&rust(&client, &weights).await);
    assert_ne!(second, submission(&address));
    app.wait_for(&second, State::Scored).await;
    assert_eq!(miner.status(&second).await.hotkey, miner.hotkey());
}
