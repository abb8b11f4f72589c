//! Hugging Face's client in JavaScript: every call that people make of a repository with models, and which are refused.

use super::client::{Client, Environment};
use super::writing::{submission, token};
use crate::support::{Package, Setup, TestApp};
use protocol::submission::State;
use serde_json::{Value, json};

/// Runs each named call and prints what came of it: its value, or the status that it was refused with.
const EVERYDAY: &str = r#"
import * as hub from "@huggingface/hub";
import { openAsBlob } from "node:fs";
const hubUrl = process.env.HF_ENDPOINT, accessToken = process.env.HF_TOKEN;
const repo = "arena/digits", teacher = "teachers/digits", data = { type: "dataset", name: "arena/digits" };
const all = async (items) => { const found = []; for await (const item of items) found.push(item); return found; };
const text = async (repo, path) => (await (await hub.downloadFile({ hubUrl, repo, path })).text());
const file = async (path) => ({ path, content: await openAsBlob(`student/${path}`) });
const calls = {
  whoAmI: async () => (await hub.whoAmI({ hubUrl, accessToken })).name,
  createRepo: async () => (await hub.createRepo({ hubUrl, accessToken, repo })).repoUrl,
  uploadFiles: async () => (await hub.uploadFiles({
    hubUrl, accessToken, repo, files: [await file("config.json"), await file("model.safetensors")],
  })).commit.url,
  listModels: async () => (await all(hub.listModels({ hubUrl }))).map((model) => model.name),
  listDatasets: async () => (await all(hub.listDatasets({ hubUrl }))).map((found) => found.name),
  modelInfo: async () => (await hub.modelInfo({ hubUrl, name: teacher })).task,
  datasetInfo: async () => (await hub.datasetInfo({ hubUrl, name: data.name })).name,
  listFiles: async () => (await all(hub.listFiles({ hubUrl, repo: teacher }))).map((entry) => entry.path),
  fileExists: () => hub.fileExists({ hubUrl, repo: teacher, path: "config.json" }),
  fileExistsNot: () => hub.fileExists({ hubUrl, repo: teacher, path: "nothing.json" }),
  fileDownloadInfo: async () => (await hub.fileDownloadInfo({ hubUrl, repo: teacher, path: "model.safetensors" })).size > 0,
  downloadFile: async () => JSON.parse(await text(teacher, "config.json")).format,
  downloadData: async () => (await text(data, "README.md")).startsWith("---"),
  pathsInfo: async () => (await hub.pathsInfo({ hubUrl, repo: teacher, paths: ["model.safetensors"] }))[0].type,
  parseSafetensorsMetadata: async () => Object.keys((await hub.parseSafetensorsMetadata({ hubUrl, repo: teacher })).header).length > 1,
  checkRepoAccess: async () => (await hub.checkRepoAccess({ hubUrl, accessToken, repo: teacher })) ?? "granted",
  repoExists: () => hub.repoExists({ hubUrl, repo: teacher }),
  repoExistsNot: () => hub.repoExists({ hubUrl, repo: "arena/nothing" }),
  listCommits: async () => (await all(hub.listCommits({ hubUrl, repo: teacher }))).length,
  countCommits: () => hub.countCommits({ hubUrl, repo: teacher }),
  snapshotDownload: async () => typeof (await hub.snapshotDownload({ hubUrl, repo: teacher, cacheDir: "snapshots" })),
  downloadFileToCacheDir: async () => typeof (await hub.downloadFileToCacheDir({ hubUrl, repo: teacher, path: "config.json", cacheDir: "cache" })),
  deleteFile: () => hub.deleteFile({ hubUrl, accessToken, repo, path: "config.json" }),
  deleteRepo: () => hub.deleteRepo({ hubUrl, accessToken, repo }),
  createBranch: () => hub.createBranch({ hubUrl, accessToken, repo, branch: "mine" }),
  listSpaces: () => all(hub.listSpaces({ hubUrl })),
};
const answers = {};
console.log = console.info = console.debug = () => {};
for (const [name, call] of Object.entries(calls)) {
  try { answers[name] = await call(); } catch (error) { answers[name] = `refused ${error.statusCode ?? error}`; }
}
process.stdout.write(JSON.stringify(answers));
"#;

#[tokio::test]
async fn javascript_s_client_does_what_people_do() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let client = Client::new(Environment::Hub, &app.url("")).with_token(&token(&miner).await.token);
    Package::random(&[16], 7).write(&client.folder().join("student"));
    let answers: Value = serde_json::from_str(&client.javascript(EVERYDAY).await).unwrap();
    let entered = submission(answers["uploadFiles"].as_str().unwrap_or_else(|| panic!("{answers}")));
    app.wait_for(&entered, State::Scored).await;
    for (call, expected) in [
        ("whoAmI", json!(miner.hotkey().to_string())),
        ("createRepo", json!(app.url("/arena/digits"))),
        ("listDatasets", json!(["arena/digits"])),
        ("modelInfo", json!("image-classification")),
        ("datasetInfo", json!("arena/digits")),
        ("fileExists", json!(true)),
        ("fileExistsNot", json!(false)),
        ("fileDownloadInfo", json!(true)),
        ("downloadFile", json!("retort/1")),
        ("downloadData", json!(true)),
        ("pathsInfo", json!("file")),
        ("parseSafetensorsMetadata", json!(true)),
        ("checkRepoAccess", json!("granted")),
        ("repoExists", json!(true)),
        ("repoExistsNot", json!(false)),
        ("listCommits", json!(1)),
        ("countCommits", json!(1)),
        ("snapshotDownload", json!("string")),
        ("downloadFileToCacheDir", json!("string")),
        // What a submission hasn't, or a validator.
        ("deleteFile", json!("refused 422")),
        ("deleteRepo", json!("refused 404")),
        ("createBranch", json!("refused 404")),
        ("listSpaces", json!("refused 404")),
    ] {
        assert_eq!(answers[call], expected, "{call}: {answers}");
    }
    let holds = |call: &str, name: &str| answers[call].as_array().is_some_and(|all| all.contains(&json!(name)));
    assert!(holds("listModels", "teachers/digits") && holds("listFiles", "model.safetensors"), "{answers}");
}
