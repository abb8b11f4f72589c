//! Pools: what one that everybody knows is good for is said wherever it is shown; images that nobody has are fresh once.

use super::rounds::{by_size, play, submit};
use super::support::{Setup, TestApp, competition_toml};
use datasets::hidden::RoundView;
use datasets::hidden::{Draw, DrawSpec, Spent, draw_unspent};
use datasets::load_digits;
use datasets::published::table;
use protocol::competition::HiddenPool;
use std::collections::BTreeSet;
use std::time::Duration;
use validator::Publisher;
use validator::evaluator::silent;

/// A private pool of 100 images for rounds of 40, 12 of them fixed: it lasts for three.
fn private_toml(id: &str) -> String {
    let data = "data = { source = \"file:own\", public_items = 100, hidden_items = 100, hidden_pool = \"private\" }";
    let toml = competition_toml(id, "rounds.items = 40");
    let lines = toml.lines().map(|line| if line.starts_with("data = ") { data } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// Images of the publisher's own, beside the manifest: 200 to learn from, and so many others.
pub(super) fn write_own(app: &TestApp, evaluation: u32) {
    let digits = load_digits().unwrap();
    let own = app.dir.path().join("own");
    std::fs::create_dir_all(&own).unwrap();
    let names: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    for (name, range) in [("train", 0..200), ("test", 200..200 + evaluation)] {
        let images = digits.select(&range.collect::<Vec<_>>());
        std::fs::write(own.join(format!("{name}.parquet")), table(&images, &names, None).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn a_private_pool_is_fresh_once_and_its_last_round_is_the_last() {
    let app = TestApp::start(Setup { evaluator: by_size(), ..Setup::default() }).await;
    write_own(&app, 200);
    let published = app.publish(&private_toml("digits")).await;
    let manifest = &published.competition.manifest;
    assert_eq!((manifest.rounds_max(), manifest.data.hidden_pool), (Some(3), HiddenPool::Private));
    assert!(!manifest.caveats().iter().any(|caveat| caveat.contains("hidden by changes only")));
    let page = app.miner(1).get("/competitions/digits").await.text().await.unwrap();
    assert!(page.contains("they last for 3 rounds"), "{page}");

    submit(&app, &app.miner(1), 20).await;
    let spec = DrawSpec::of(&manifest.rounds, 100, HiddenPool::Private);
    let (mut spent, mut fresh) = (Spent::default(), BTreeSet::new());
    for number in 1..=3 {
        let round: RoundView = play(&app, number).await;
        let drawn = round.drawn.unwrap();
        let again = draw_unspent(drawn.seed.as_bytes(), drawn.fixed_seed.as_bytes(), 100, &spec, &spent).unwrap();
        let items = again.items[again.fixed as usize..].to_vec();
        for source in (Draw { items, fixed: 0 }).sources() {
            assert!(fresh.insert(source), "image {source} was fresh before round {number}");
        }
        spent.add(&again);
    }
    assert_eq!(fresh.len(), 84);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let fourth = app.miner(1).get("/api/v1/competitions/digits/rounds/4").await;
    assert_eq!(fourth.status(), 404, "a fourth round would use up the pool");
    assert_eq!(app.miner(1).get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn what_is_no_private_pool_is_refused_and_says_why() {
    let app = TestApp::start(Setup::default()).await;
    write_own(&app, 200);
    for (from, to, problem) in [
        ("file:own", "digits", "known to the world: its hidden_pool is `public`"),
        ("file:own", "file:nowhere", "read "),
        ("rounds.items = 40", "", "lasts for 1 round of 100 items"),
        ("rounds.items = 40", "rounds.items = 80", "lasts for 1 round of 80 items"),
        ("hidden_items = 100", "hidden_items = 200", "wants 300"),
    ] {
        let toml = private_toml("digits").replace(from, to);
        let error = Publisher::of(&app.app).publish(&app.write_competition(&toml), silent()).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    assert!(app.app.db.competitions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_public_pool_and_a_weak_beacon_are_said_on_page_and_card() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    submit(&app, &app.miner(1), 20).await;
    play(&app, 1).await;
    for target in ["/competitions/digits", "/arena/digits/resolve/main/README.md"] {
        let text = app.miner(1).get(target).await.text().await.unwrap();
        for said in ["hidden by changes only; not for money", "own ledger: who writes that ledger can try entries"] {
            assert!(text.contains(said), "{target}: {said}: {text}");
        }
    }
}
