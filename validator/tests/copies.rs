//! Copies through the front door: a disguised one is found, evidence is shown, a stranger is left alone.

use super::support::{Package, Setup, TestApp, competition};
use copies::disguise::{self, Encoding};
use copies::{Relation, Tier};
use protocol::SubmissionId;
use protocol::api::Leaderboard;
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE};
use protocol::submission::State;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::collections::HashMap;
use std::time::Duration;
use validator::copies::{PairView, copy_of, pair_anew};
use weights::Weights;

/// A perceptron with random weights, its numbers after `change`.
fn package(seed: u64, change: impl FnOnce(&protocol::architecture::Plan, Weights) -> Vec<u8>) -> Package {
    let mut package = Package::mlp(&[8], 1);
    let plan = PackageConfig::from_json(package.file(CONFIG_FILE)).unwrap().plan().unwrap();
    let weights = Weights::random(&plan, &mut ChaCha20Rng::seed_from_u64(seed));
    *package.file(WEIGHTS_FILE) = change(&plan, weights);
    package
}

fn original(seed: u64) -> Package {
    package(seed, |_, weights| weights.to_safetensors().unwrap())
}

fn disguised(seed: u64) -> Package {
    package(seed, |plan, weights| {
        let permuted = disguise::permuted(plan, &weights, 5);
        disguise::encoded(&disguise::rescaled(plan, &permuted, 6), Encoding::Bf16).unwrap()
    })
}

async fn scored(app: &TestApp, miner: u8, package: &Package) -> SubmissionId {
    let id = app.miner(miner).submit(package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    id
}

async fn copies(app: &TestApp) -> HashMap<SubmissionId, SubmissionId> {
    copy_of(&app.app, &competition("digits")).await.unwrap()
}

#[tokio::test]
async fn a_disguised_copy_counts_as_the_earlier_model_and_a_stranger_does_not() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let stranger = scored(&app, 2, &original(2)).await;
    let copy = scored(&app, 3, &disguised(1)).await;
    assert_eq!(copies(&app).await, HashMap::from([(copy.clone(), first.clone())]));

    let miner = app.miner(4);
    // Whoever is named first: the earlier one is the earlier one.
    let view: PairView = miner.get(&format!("/api/v1/copies/{copy}/{first}")).await.json().await.unwrap();
    assert_eq!((&view.earlier, &view.later, view.has_consequences), (&first, &copy, true));
    assert_eq!(view.relation, Relation::Copy(Tier::Symmetric));
    let other: PairView = miner.get(&format!("/api/v1/copies/{copy}/{stranger}")).await.json().await.unwrap();
    assert_eq!((other.relation, other.has_consequences), (Relation::Independent, false));

    let page = miner.get(&format!("/copies/{first}/{copy}")).await.text().await.unwrap();
    assert!(page.contains("The same model with its units reordered"), "{page}");
    let page = miner.get(&format!("/submissions/{copy}")).await.text().await.unwrap();
    assert!(page.contains("this submission counts as that one"), "{page}");
    let page = miner.get(&format!("/submissions/{stranger}")).await.text().await.unwrap();
    assert!(!page.contains("/copies/"), "{page}");
}

/// Or else whoever copies a model would have its author taken for a copier from then on.
#[tokio::test]
async fn a_miner_who_was_copied_may_go_on_refining_its_model() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let copy = scored(&app, 2, &original(1)).await;
    let refined = scored(&app, 1, &disguised(1)).await;
    assert_eq!(copies(&app).await, HashMap::from([(copy.clone(), first.clone())]));
    let miner = app.miner(4);
    assert!(miner.status(&refined).await.rank.is_some());
    let page = miner.get(&format!("/submissions/{refined}")).await.text().await.unwrap();
    assert!(!page.contains("this submission counts as that one") && page.contains("nothing follows"), "{page}");
    // Who copies the refined one copies its author.
    let later = scored(&app, 3, &disguised(1)).await;
    assert_eq!(copies(&app).await, HashMap::from([(copy, first.clone()), (later, first)]));
}

/// A copy is the better model if half of its bytes are a score: that must win it nothing, on the board either.
#[tokio::test]
async fn a_copy_takes_nobodys_place_on_the_board_and_not_the_seat() {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let stranger = scored(&app, 2, &original(2)).await;
    let copy = scored(&app, 3, &disguised(1)).await;
    let miner = app.miner(4);
    // What was asked for before they were compared isn't what is answered afterwards.
    miner.get("/api/v1/competitions/digits/leaderboard").await;
    copies(&app).await;
    let board: Leaderboard = miner.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    let row = |id: &SubmissionId| board.rows.iter().find(|row| row.submission.as_ref() == Some(id)).unwrap();
    assert_eq!((row(&copy).rank, row(&copy).place, row(&copy).divisions.len()), (None, None, 0));
    assert!(row(&copy).why.contains(&format!("counts as {first}")), "{}", row(&copy).why);
    assert!(board.divisions.iter().all(|division| !division.entries.contains(&copy)));
    assert!([&first, &stranger].iter().all(|id| row(id).rank.is_some()));
    assert_ne!(board.champion, Some(copy.clone()));
    assert_eq!(miner.status(&copy).await.rank, None);
    // The seat of whoever looks for it through the Hub.
    let seat = miner.get("/arena/digits/resolve/main/model.safetensors").await;
    let stolen = miner.get(&format!("/submissions/{copy}/resolve/main/model.safetensors")).await;
    assert_ne!(seat.headers()["etag"], stolen.headers()["etag"]);
}

#[tokio::test]
async fn an_appeal_finds_the_evidence_that_was_stored() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let copy = scored(&app, 2, &disguised(1)).await;
    copies(&app).await;
    let stored: PairView = app.miner(3).get(&format!("/api/v1/copies/{first}/{copy}")).await.json().await.unwrap();
    assert_eq!(pair_anew(&app.app, &copy, &first).await.unwrap(), Some(stored));
}

#[tokio::test]
async fn a_miner_may_refine_its_own_model() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let refined = scored(&app, 1, &disguised(1)).await;
    assert_eq!(copies(&app).await, HashMap::new());
    let view: PairView = app.miner(3).get(&format!("/api/v1/copies/{first}/{refined}")).await.json().await.unwrap();
    assert_eq!((view.relation, view.has_consequences), (Relation::Copy(Tier::Symmetric), false));
    // What was copied from the refined one counts as the first of all.
    let copy = scored(&app, 2, &original(1)).await;
    assert_eq!(copies(&app).await, HashMap::from([(copy, first)]));
}

#[tokio::test]
async fn what_a_killed_validator_left_uncompared_is_compared_by_the_next() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let copy = scored(&app, 2, &disguised(1)).await;
    copies(&app).await;
    // As if the process had died between the score and the comparison.
    forget(&app).await;
    let (dir, objects) = app.kill().await;
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    let compared = async {
        while app.app.db.pairs_of(&copy).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), compared).await.unwrap();
    assert_eq!(copies(&app).await, HashMap::from([(copy, first)]));
}

/// Deletes what comparisons wrote, in one go, so that the running sweep can't come between.
async fn forget(app: &TestApp) {
    let mut tx = app.app.db.write().await.unwrap();
    validator::db::copies::forget(&mut tx, &competition("digits")).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn pairs_that_do_not_exist_are_not_found() {
    let app = TestApp::with_competition(Setup::default()).await;
    let id = scored(&app, 1, &original(1)).await;
    copies(&app).await;
    let nobody = SubmissionId::new(1, 2);
    for target in [format!("{id}/{id}"), format!("{id}/{nobody}"), "x/y".into()] {
        assert_eq!(app.miner(2).get(&format!("/api/v1/copies/{target}")).await.status(), 404, "{target}");
        assert_eq!(app.miner(2).get(&format!("/copies/{target}")).await.status(), 404, "{target}");
    }
}
