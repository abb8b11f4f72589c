//! Copies through the front door: a disguised one is found, evidence is shown, a stranger is left alone.

use super::support::{Package, Setup, TestApp, competition, competition_toml};
use copies::disguise::shape::{self, Filling};
use copies::disguise::{self, Encoding};
use copies::{Relation, Signal, Tier};
use protocol::api::Leaderboard;
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE};
use protocol::submission::State;
use protocol::{Digest, Hotkey, SubmissionId};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use validator::copies::{EntriesView, EntryZero, FreshAnswers, Original, PairView, copy_of, on_fresh_items, pair_anew};
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

async fn copies(app: &TestApp) -> HashMap<SubmissionId, Original> {
    copy_of(&app.app, &competition("digits"), u64::MAX).await.unwrap()
}

/// Who counts as which submission.
fn counts<const N: usize>(pairs: [(SubmissionId, SubmissionId); N]) -> HashMap<SubmissionId, Original> {
    pairs.into_iter().map(|(copy, original)| (copy, Original::Submission(original))).collect()
}

#[tokio::test]
async fn a_disguised_copy_counts_as_the_earlier_model_and_a_stranger_does_not() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let stranger = scored(&app, 2, &original(2)).await;
    let copy = scored(&app, 3, &disguised(1)).await;
    assert_eq!(copies(&app).await, counts([(copy.clone(), first.clone())]));

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
    assert_eq!(copies(&app).await, counts([(copy.clone(), first.clone())]));
    let miner = app.miner(4);
    assert!(miner.status(&refined).await.rank.is_some());
    let page = miner.get(&format!("/submissions/{refined}")).await.text().await.unwrap();
    assert!(!page.contains("this submission counts as that one") && page.contains("nothing follows"), "{page}");
    // Who copies the refined one copies its author.
    let later = scored(&app, 3, &disguised(1)).await;
    assert_eq!(copies(&app).await, counts([(copy, first.clone()), (later, first)]));
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
    assert_eq!(copies(&app).await, counts([(copy, first)]));
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
    assert_eq!(copies(&app).await, counts([(copy, first)]));
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

/// The model in another shape: a hidden unit is split in two.
fn reshaped(seed: u64) -> Package {
    let mut package = original(seed);
    let config = PackageConfig::from_json(package.file(CONFIG_FILE)).unwrap();
    let weights = Weights::from_safetensors(package.file(WEIGHTS_FILE), &config.plan().unwrap()).unwrap();
    let split = shape::widened(&config, &weights, Filling::Split, 1).unwrap();
    *package.file(CONFIG_FILE) = serde_json::to_vec(&split.config).unwrap();
    *package.file(WEIGHTS_FILE) = split.weights.to_safetensors().unwrap();
    package
}

/// Limits under which the teacher itself is admitted.
fn teacher_fits() -> String {
    let toml = competition_toml("digits", "");
    toml.replace("parameters_max = 2000", "parameters_max = 3000").replace("macs_max = 2000", "macs_max = 3000")
}

fn f16(mut package: Package) -> Package {
    let plan = PackageConfig::from_json(package.file(CONFIG_FILE)).unwrap().plan().unwrap();
    let weights = Weights::from_safetensors(package.file(WEIGHTS_FILE), &plan).unwrap();
    *package.file(WEIGHTS_FILE) = disguise::encoded(&weights, Encoding::F16).unwrap();
    package
}

#[tokio::test]
async fn the_teacher_and_the_reference_in_disguise_count_as_themselves_and_take_no_place() {
    let app = TestApp::start(Setup::default()).await;
    app.publish(&teacher_fits()).await;
    let teacher = scored(&app, 1, &f16(Package::mlp(&[32], 1))).await;
    let reference = scored(&app, 2, &f16(Package::mlp(&[4], 2))).await;
    let honest = scored(&app, 3, &original(1)).await;
    let expected = [(&teacher, EntryZero::Teacher), (&reference, EntryZero::Reference)];
    let expected: HashMap<_, _> = expected.map(|(id, entry)| (id.clone(), Original::Entry(entry))).into();
    assert_eq!(copies(&app).await, expected);
    let miner = app.miner(4);
    let board: Leaderboard = miner.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    let row = |id: &SubmissionId| board.rows.iter().find(|row| row.submission.as_ref() == Some(id)).unwrap();
    assert_eq!((row(&teacher).rank, row(&reference).rank), (None, None));
    assert!(row(&honest).rank.is_some() && board.leader.as_ref() == Some(&honest));
    assert!(row(&teacher).why.contains("counts as the teacher"), "{}", row(&teacher).why);
    let view: EntriesView = miner.get(&format!("/api/v1/submissions/{teacher}/entries")).await.json().await.unwrap();
    let found = view.entries.iter().find(|entry| entry.entry == "teacher").unwrap();
    assert_eq!((found.relation, found.has_consequences), (Relation::Copy(Tier::Canonical), true));
    let page = miner.get(&format!("/submissions/{reference}")).await.text().await.unwrap();
    assert!(page.contains("this submission counts as the reference"), "{page}");
}

/// A narrow student may begin with some of the teacher's units.
#[tokio::test]
async fn who_keeps_the_least_distance_is_no_copy_of_the_teacher_however_it_was_initialised() {
    let app = TestApp::start(Setup::default()).await;
    app.publish(&teacher_fits()).await;
    let mut package = Package::mlp(&[14], 1);
    let narrow = PackageConfig::from_json(package.file(CONFIG_FILE)).unwrap().plan().unwrap();
    let mut teacher = Package::mlp(&[32], 1);
    let wide = PackageConfig::from_json(teacher.file(CONFIG_FILE)).unwrap().plan().unwrap();
    let teacher = Weights::from_safetensors(teacher.file(WEIGHTS_FILE), &wide).unwrap();
    let mut weights = Weights::from_safetensors(package.file(WEIGHTS_FILE), &narrow).unwrap();
    let (mut first, mut last) = (weights.get("1.weight").unwrap().clone(), weights.get("3.weight").unwrap().clone());
    first.values.copy_from_slice(&teacher.get("1.weight").unwrap().values[..14 * 64]);
    for (row, from) in last.values.chunks_mut(14).zip(teacher.get("3.weight").unwrap().values.chunks(32)) {
        row.copy_from_slice(&from[..14]);
    }
    weights.insert("1.weight".into(), first);
    weights.insert("3.weight".into(), last);
    *package.file(WEIGHTS_FILE) = weights.to_safetensors().unwrap();
    let student = scored(&app, 1, &package).await;
    assert_eq!(copies(&app).await, HashMap::new());
    let view: EntriesView =
        app.miner(2).get(&format!("/api/v1/submissions/{student}/entries")).await.json().await.unwrap();
    assert!(view.entries.iter().all(|entry| entry.entry != "teacher"), "{view:?}");
}

#[tokio::test]
async fn the_earliest_commitment_in_any_competition_of_the_kind_is_first_and_its_own_author_copies_nobody() {
    let app = TestApp::with_competition(Setup::default()).await;
    app.publish(&competition_toml("digits-2", "")).await;
    let submit = async |miner: u8, competition: &str, package: &Package| {
        let id = app.miner(miner).submit_to(competition, package).await.unwrap();
        app.wait_for(&id, State::Scored).await;
        id
    };
    let first = submit(1, "digits-2", &original(1)).await;
    let copy = submit(2, "digits", &disguised(1)).await;
    let own = submit(1, "digits", &disguised(1)).await;
    assert_eq!(copies(&app).await, counts([(copy.clone(), first.clone())]));
    assert_eq!(copy_of(&app.app, &competition("digits-2"), u64::MAX).await.unwrap(), HashMap::new());
    let view: PairView = app.miner(3).get(&format!("/api/v1/copies/{copy}/{first}")).await.json().await.unwrap();
    assert_eq!((view.competition, view.has_consequences), (competition("digits"), true));
    let view: PairView = app.miner(3).get(&format!("/api/v1/copies/{own}/{first}")).await.json().await.unwrap();
    assert!(!view.has_consequences);
}

#[tokio::test]
async fn competitions_of_a_kind_share_their_probes_while_one_of_them_runs() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = app.app.db.competition(&competition("digits")).await.unwrap().unwrap();
    app.publish(&competition_toml("digits-2", "")).await;
    let second = app.app.db.competition(&competition("digits-2")).await.unwrap().unwrap();
    assert_eq!(first.probe_seed, second.probe_seed);
    assert_eq!(first.competition.probes_sha256, second.competition.probes_sha256);
    assert_ne!(first.split_key, second.split_key);
}

#[tokio::test]
async fn a_start_that_the_manifest_lists_as_known_makes_nobody_a_copy() {
    let app = TestApp::start(Setup::default()).await;
    original(7).write(&app.dir.path().join("known"));
    app.publish(&competition_toml("digits", "known = [\"known\"]")).await;
    let first = scored(&app, 1, &original(7)).await;
    let second = scored(&app, 2, &disguised(7)).await;
    let mine = scored(&app, 3, &original(1)).await;
    let copy = scored(&app, 4, &disguised(1)).await;
    assert_eq!(copies(&app).await, counts([(copy, mine)]));
    let view: PairView = app.miner(5).get(&format!("/api/v1/copies/{first}/{second}")).await.json().await.unwrap();
    assert_eq!((view.relation, view.has_consequences), (Relation::KnownStart, false));
    let view: EntriesView =
        app.miner(5).get(&format!("/api/v1/submissions/{second}/entries")).await.json().await.unwrap();
    assert_eq!((view.entries[0].entry.as_str(), view.entries[0].has_consequences), ("known-1", false));
}

#[tokio::test]
async fn the_same_errors_on_fresh_items_make_a_copy_of_what_nothing_else_connects() {
    let app = TestApp::with_competition(Setup::default()).await;
    let [first, stranger, copy] =
        [scored(&app, 1, &original(1)).await, scored(&app, 2, &original(2)).await, scored(&app, 3, &original(3)).await];
    assert_eq!(copies(&app).await, HashMap::new());
    let noise = |seed: u64, items: usize| -> Vec<f32> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..items * 10).map(|_| weights::standard_normal(&mut rng)).collect()
    };
    let teacher = noise(1, 300);
    let errs = |seed| teacher.iter().zip(noise(seed, 300)).map(|(t, e)| t + 0.5 * e).collect::<Vec<f32>>();
    let answers = |logits: [Vec<f32>; 3]| {
        let ids = [&first, &stranger, &copy].into_iter().cloned();
        ids.zip(logits).map(|(submission, logits)| FreshAnswers { submission, logits }).collect::<Vec<_>>()
    };
    let hotter = errs(5).iter().map(|logit| 2.0 * logit + 1.0).collect();
    let said = answers([errs(5), errs(6), hotter]);
    for _ in 0..2 {
        assert_eq!(
            on_fresh_items(&app.app, &competition("digits"), said.clone(), teacher.clone(), 10).await.unwrap(),
            1
        );
        assert_eq!(copies(&app).await, counts([(copy.clone(), first.clone())]));
    }
    let view: PairView = app.miner(4).get(&format!("/api/v1/copies/{copy}/{first}")).await.json().await.unwrap();
    assert_eq!(view.relation, Relation::Copy(Tier::Function));
    assert!(view.evidence.fresh_residual_correlation_ppm.unwrap() > 990_000);
}

/// Nobody knows how alike honest models are where it wasn't measured.
#[tokio::test]
async fn without_nulls_what_is_alike_makes_no_copy_and_what_is_equal_does() {
    let app = TestApp::start(Setup::default()).await;
    let with = competition_toml("digits", "");
    let stated = with.lines().find(|line| line.starts_with("nulls = ")).unwrap();
    app.publish(&with.replace(stated, "")).await;
    let [first, near, same] =
        [scored(&app, 1, &original(1)).await, scored(&app, 2, &original(2)).await, scored(&app, 3, &original(3)).await];
    // By then all have fingerprints.
    assert_eq!(copies(&app).await, HashMap::new());
    let noise = |seed: u64| -> Vec<f32> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..3_000).map(|_| weights::standard_normal(&mut rng)).collect()
    };
    let (teacher, errors, own) = (noise(1), noise(2), noise(3));
    let errs = |share: f32| -> Vec<f32> {
        let of = teacher.iter().zip(&errors).zip(&own);
        of.map(|((teacher, error), own)| teacher + 0.5 * (error + share * own)).collect()
    };
    let said = [(&first, errs(0.0)), (&near, errs(0.1)), (&same, errs(0.001))];
    let said = said.map(|(submission, logits)| FreshAnswers { submission: submission.clone(), logits });
    on_fresh_items(&app.app, &competition("digits"), said.to_vec(), teacher.clone(), 10).await.unwrap();
    assert_eq!(copies(&app).await, counts([(same, first)]));
    let card = app.miner(4).get("/arena/digits/resolve/main/README.md").await.text().await.unwrap();
    assert!(card.contains("doesn't state what honest students have in common"), "{card}");
}

#[tokio::test]
async fn a_model_in_another_shape_is_seen_to_have_the_same_units() {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let copy = scored(&app, 2, &reshaped(1)).await;
    copies(&app).await;
    let view: PairView = app.miner(3).get(&format!("/api/v1/copies/{first}/{copy}")).await.json().await.unwrap();
    // The scripted engine says nothing of probes, so this is all that there is here.
    assert_eq!(view.relation, Relation::Suspicion(Signal::WeightMatch));
    assert!(view.evidence.weight_match_ppm.unwrap() > 900_000, "{view:?}");
}

/// So many models of as many owners that came before, with sketches like nobody's and the fingerprint of `like`.
async fn strangers(app: &TestApp, like: &SubmissionId, count: u32) {
    let mut words = ChaCha20Rng::seed_from_u64(count.into());
    let mut tx = app.app.db.write().await.unwrap();
    for number in 0..count {
        let id = format!("01ARZ3NDEKTSV4RRFF{number:08}");
        let mut key = [9; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        sqlx::query(
            "INSERT INTO submissions (id, competition_id, hotkey, package_sha256, state, created_at, changed_at, upload_until)
             SELECT $1, competition_id, $2, $1, 'scored', created_at, changed_at, upload_until FROM submissions WHERE id = $3",
        )
        .bind(&id)
        .bind(Hotkey::from_bytes(key).to_string())
        .bind(like.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
        let mut bits = || {
            let mut bits = vec![0; 128];
            words.fill_bytes(&mut bits);
            bits
        };
        sqlx::query(
            "INSERT INTO fingerprints (submission_id, competition_id, fingerprint_sha256, canonical_sha256, probes_sha256, errors, units, at)
             SELECT $1, competition_id, fingerprint_sha256, $2, probes_sha256, $3, $4, at FROM fingerprints WHERE submission_id = $5",
        )
        .bind(&id)
        .bind(Digest::of(id.as_bytes()).to_string())
        .bind(bits())
        .bind(bits())
        .bind(like.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
}

/// How long a copy takes to be known for one, with so many models before it.
async fn found_among(count: u32) -> Duration {
    let app = TestApp::with_competition(Setup::default()).await;
    let first = scored(&app, 1, &original(1)).await;
    let stranger = scored(&app, 2, &original(2)).await;
    let compared = async |id: &SubmissionId| app.app.db.fingerprint(id).await.unwrap().is_some();
    while !(compared(&first).await && compared(&stranger).await) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    strangers(&app, &stranger, count).await;
    let copy = scored(&app, 3, &disguised(1)).await;
    let began = Instant::now();
    while !compared(&copy).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    assert_eq!(copies(&app).await.get(&copy), Some(&Original::Submission(first)));
    took
}

#[tokio::test]
async fn an_original_is_found_among_more_models_than_are_compared() {
    found_among(400).await;
}

/// Prints docs/BENCHMARKS.md's figure: `cargo test --release -p validator --test all copies::what -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_comparison_takes_among_twenty_thousand() {
    for count in [100, 20_000] {
        println!("{count} models before it: {:?}", found_among(count).await);
    }
}
