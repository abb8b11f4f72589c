//! Teachers from a Hub: from our own, by commit and by digest; and what is refused.

use crate::support::{Package, Setup, TestApp, competition_toml};
use validator::Publisher;
use validator::evaluator::silent;
use validator::publishing::{PublishError, Published};

/// Publishes a competition whose teacher is `teacher`, fetched from `hub`.
async fn publish(hub: &TestApp, teacher: &str) -> (TestApp, Result<Published, PublishError>) {
    publish_from(&hub.url(""), teacher).await
}

/// The same from a Hub at `endpoint`.
pub(super) async fn publish_from(endpoint: &str, teacher: &str) -> (TestApp, Result<Published, PublishError>) {
    let mut setup = Setup::default();
    setup.config.hub_endpoint = endpoint.to_owned();
    let app = TestApp::start(setup).await;
    let toml = competition_toml("digits", "");
    let toml = toml.replace("teacher = { package = \"teacher\" }", &format!("teacher = \"{teacher}\""));
    assert!(toml.contains(teacher));
    let manifest = app.write_competition(&toml);
    // What lies there by chance isn't taken.
    Package::mlp(&[30], 9).write(&app.dir.path().join("teacher"));
    let published = Publisher::of(&app.app).publish(&manifest, silent()).await;
    (app, published)
}

#[cfg(not(feature = "hub"))]
#[tokio::test]
async fn a_build_without_a_client_says_so() {
    let hub = TestApp::with_competition(Setup::default()).await;
    let (_, published) = publish(&hub, &format!("hf://teachers/digits@{}", "ab".repeat(20))).await;
    let error = published.unwrap_err().to_string();
    assert!(error.contains("build with `--features hub`"), "{error}");
}

#[cfg(feature = "hub")]
#[tokio::test]
async fn a_teacher_comes_from_our_own_hub() {
    use protocol::Digest;
    use protocol::package::package_digest;

    let hub = TestApp::with_competition(Setup::default()).await;
    let miner = hub.miner(1);
    let info: serde_json::Value = miner.get("/api/models/teachers/digits").await.json().await.unwrap();
    let commit = info["sha"].as_str().unwrap();
    let (app, published) = publish(&hub, &format!("hf://teachers/digits@{commit}")).await;
    let published = published.unwrap().competition;
    let original = hub.app.db.competition(&crate::support::competition("digits")).await.unwrap().unwrap().competition;
    let [fetched, named] = [&published, &original].map(|competition| competition.teacher.model().unwrap());
    assert_eq!((fetched.weights, &fetched.config), (named.weights, &named.config));
    assert_eq!(published.manifest.teacher.model().unwrap().package, format!("hf://teachers/digits@{commit}"));
    drop(app);

    // By a branch, with the package's digest beside it.
    let read = async |file: &str| {
        let target = format!("/teachers/digits/resolve/main/{file}");
        Digest::of(&miner.get(&target).await.bytes().await.unwrap())
    };
    let pin = package_digest(&read("config.json").await, &read("model.safetensors").await);
    let (_, published) = publish(&hub, &format!("hf://teachers/digits@main#sha256:{pin}")).await;
    published.unwrap();
    for (teacher, reason) in [
        ("hf://teachers/digits@main".to_owned(), "revision main can move"),
        (format!("hf://teachers/digits@main#sha256:{}", Digest::of(b"")), "it was exchanged"),
        (format!("hf://teachers/none@{commit}"), "hf://teachers/none"),
        (format!("hf://teachers/digits@{}", "ab".repeat(20)), "hf://teachers/digits"),
    ] {
        let (_, published) = publish(&hub, &teacher).await;
        let error = published.unwrap_err();
        assert!(matches!(error, PublishError::Remote { role: "teacher", .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
