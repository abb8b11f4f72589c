//! Rounds through the front door: bound before they close, drawn, measured, judged, paid, revealed, and checked again by
//! somebody who trusts nobody.

use super::support::{Miner, Package, Setup, TestApp, competition, competition_toml};
use datasets::Images;
use datasets::hidden::RoundView;
use datasets::hidden::{BeaconRule, Expected, Reveal, Spent, verify_reveal};
use futures::FutureExt;
use protocol::dethrone::Rule;
use protocol::evaluation::{EvaluationFailure, EvaluationRequest};
use protocol::reward::{PolicyChange, RewardPolicy, RewardRules};
use protocol::round::{EntryRole, RoundRules, Step};
use protocol::submission::{Code, State};
use protocol::{Digest, Hotkey, SubmissionId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use validator::rounds::{RoundError, announce_reward, close_now, supply_beacon};
use validator::scripted::{ScriptedEvaluator, scripted_evaluation};

/// How long a test waits for a round.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a slow model's evaluation takes: sixteen of them take longer than a round of another competition.
const SLOW: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_round_crowns_the_best_pays_it_and_can_be_done_again_by_anyone() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let best = submit(&app, &alice, 25).await;
    submit(&app, &bob, 8).await;

    let open = wait_for(&app, 1, Step::Open).await;
    assert!(open.beacon.is_none() && open.drawn.is_none() && open.reveal.is_none());
    let round = play(&app, 1).await;
    assert_eq!((round.champion_before.as_ref(), round.champion.as_ref()), (None, Some(&best)));
    assert_eq!(round.commitment, open.commitment, "what was published before the close still stands");
    assert_eq!(round.weights.len(), 1);
    // By how much it passed the reference, which depends on the items: some of the five points that pay in full.
    let weight_ppm = round.weights[0].weight_ppm;
    assert_eq!(round.weights[0].hotkey, alice.hotkey());
    assert!((500_000..=1_000_000).contains(&weight_ppm), "{weight_ppm}");
    let paid = app.app.ledger.weights(round.epoch.unwrap()).unwrap().unwrap();
    assert_eq!(paid, [(alice.hotkey(), weight_ppm)]);

    let described: serde_json::Value = alice.get("/openapi.json").await.json().await.unwrap();
    let described = described["components"]["schemas"]["Round"]["properties"].as_object().unwrap();
    let answered = serde_json::to_value(&round).unwrap();
    assert!(described.keys().eq(answered.as_object().unwrap().keys()), "{described:?}");

    let reveal = Reveal::from_bytes(&object(&alice, &round.reveal.unwrap().sha256).await).unwrap();
    let view: protocol::api::CompetitionView = alice.get("/api/v1/competitions/digits").await.json().await.unwrap();
    let root = view.competition.hidden_root.to_string();
    let expected = Expected {
        competition: "digits",
        round: 1,
        pool_root: &root,
        pool_count: view.competition.manifest.data.hidden_items,
        rules: &view.competition.manifest.rounds,
        hidden_pool: view.competition.manifest.data.hidden_pool,
        answer_classes: 0,
        spent: &Spent::default(),
        commitment: &open.commitment,
        beacon: round.beacon.as_ref(),
        chain: None,
        fixed_seed: None,
    };
    let revealed = verify_reveal(&reveal, &expected).unwrap();
    let drawn = round.drawn.unwrap();
    assert_eq!(Images::from_bytes(&object(&bob, &drawn.items.sha256).await).unwrap(), revealed.items.held().unwrap());
    let entry = round.entries.iter().find(|entry| entry.submission == best).unwrap();
    let report: protocol::Report = serde_json::from_slice(&object(&bob, &entry.report.unwrap().sha256).await).unwrap();
    assert_eq!((report.data.items, report.data.public_items), (400, 100 + drawn.fixed));

    // Another secret, another round or another commitment is found out.
    let mut forged = reveal.clone();
    forged.secret = [7; 32].into();
    assert!(verify_reveal(&forged, &expected).is_err());
    assert!(verify_reveal(&reveal, &Expected { round: 2, ..expected }).is_err());
    let other = RoundRules { fixed_ppm: 1, ..view.competition.manifest.rounds.clone() };
    assert!(verify_reveal(&reveal, &Expected { rules: &other, ..expected }).is_err());
}

#[tokio::test]
async fn hidden_items_stay_hidden_until_the_reveal() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let miner = app.miner(1);
    submit(&app, &miner, 20).await;
    play(&app, 1).await;
    let stored = app.app.db.round(&competition("digits"), 1).await.unwrap().unwrap();
    let items = stored.record.drawn.unwrap().items.sha256;
    assert_eq!(miner.get(&format!("/api/v1/objects/sha256/{items}")).await.status(), 200);
    let second = wait_for(&app, 2, Step::Open).await;
    let text = serde_json::to_string(&second).unwrap();
    let secret = app.app.db.round(&competition("digits"), 2).await.unwrap().unwrap().secret;
    assert!(!text.contains(&hex::encode(secret.expose())), "{text}");
    assert!(!text.contains("secret") && !text.contains("family"), "{text}");
}

#[tokio::test]
async fn a_better_challenger_takes_the_seat_and_an_equal_one_does_not() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let (alice, bob, carol) = (app.miner(1), app.miner(2), app.miner(3));
    let first = submit(&app, &alice, 20).await;
    assert_eq!(play(&app, 1).await.champion, Some(first.clone()));

    // The same answers in another package.
    let equal = submit(&app, &bob, 21).await;
    let round = play(&app, 2).await;
    assert_eq!((round.champion_before.as_ref(), round.champion.as_ref()), (Some(&first), Some(&first)));
    let entry = round.entries.iter().find(|entry| entry.submission == equal).unwrap();
    assert_eq!((entry.role, entry.verdict.unwrap().rule), (EntryRole::Challenger, Rule::HiddenNotBetter));

    let better = submit(&app, &carol, 25).await;
    let round = play(&app, 3).await;
    assert_eq!(round.champion, Some(better.clone()), "{round:#?}");
    let entry = round.entries.iter().find(|entry| entry.submission == better).unwrap();
    let verdict = entry.verdict.unwrap();
    // The equal one returns: what was found about it is kept.
    assert_eq!((verdict.rule, verdict.shared_by, verdict.rounds), (Rule::Dethrones, 2, 1));
    assert!(verdict.hidden.unwrap().p.at_most(50_000, 1));
    // Fixed items recur, fresh ones don't.
    let (before, after) = (items(&app, 2).await, items(&app, 3).await);
    assert_eq!(before.select(&(0..90).collect::<Vec<_>>()), after.select(&(0..90).collect::<Vec<_>>()));
    assert_ne!(before, after);
}

/// Alice in round 1, Bob better from round 2 on: what the rounds paid, and what the third told Bob.
async fn three_rounds(policy: &str) -> ([Miner; 2], [Vec<(Hotkey, u32)>; 3], Vec<String>) {
    let app = TestApp::start(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let manifest = competition_toml("digits", &format!("reward = {{ policy = \"{policy}\" }}"));
    // Of fewer items the draw decides whether seven points are more than luck.
    app.publish(&manifest.replace("hidden_items = 300", "hidden_items = 690")).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    submit(&app, &alice, 20).await;
    let first = play(&app, 1).await;
    submit(&app, &bob, 25).await;
    let second = play(&app, 2).await;
    let third = play(&app, 3).await;
    let told = third.why.iter().filter(|reason| reason.hotkey == bob.hotkey()).map(|reason| reason.sentence.clone());
    let told = told.collect();
    let paid = |round: RoundView| round.weights.into_iter().map(|w| (w.hotkey, w.weight_ppm)).collect();
    ([alice, bob], [first, second, third].map(paid), told)
}

#[tokio::test]
async fn policies_that_pay_by_earlier_rounds_remember_them() {
    let ([alice, bob], [first, second, third], told) = three_rounds("last_champions").await;
    assert_eq!(first, [(alice.hotkey(), 400_000)]);
    assert_eq!(second, [(bob.hotkey(), 400_000), (alice.hotkey(), 250_000)]);
    assert_eq!((third, told), (second, vec!["40 %: the champion".to_owned()]));

    // What Bob added to the frontier stays his, beside what Alice had found.
    let ([alice, bob], [first, second, third], told) = three_rounds("frontier").await;
    assert_eq!(first, [(alice.hotkey(), 1_000_000)]);
    let owners = |paid: &[(Hotkey, u32)]| paid.iter().map(|(hotkey, _)| *hotkey).collect::<Vec<_>>();
    assert_eq!((owners(&second), &third), (vec![alice.hotkey(), bob.hotkey()], &second));
    assert!(told[0].starts_with("paid for ") && told[0].contains("1 rounds old"), "{told:?}");
}

#[tokio::test]
async fn a_champion_that_no_longer_loads_keeps_its_seat() {
    let broken: Arc<std::sync::Mutex<Option<Digest>>> = Arc::default();
    let of = Arc::clone(&broken);
    let evaluator = script(move |request| match *of.lock().unwrap() {
        Some(package) if request.order.package_sha256() == package => {
            Err(Code::EvaluationCrashed.because("it no longer loads".into()).into())
        }
        _ => scripted(request),
    });
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let first = submit(&app, &app.miner(1), 20).await;
    assert_eq!(play(&app, 1).await.champion, Some(first.clone()));
    submit(&app, &app.miner(2), 25).await;
    *broken.lock().unwrap() = Some(app.app.db.submission(&first).await.unwrap().unwrap().package_sha256);
    let round = play(&app, 2).await;
    assert_eq!(round.champion, Some(first.clone()));
    let rules: Vec<_> = round.entries.iter().filter_map(|entry| entry.verdict).map(|verdict| verdict.rule).collect();
    assert_eq!(rules, [Rule::ChampionNotMeasured]);
    let champion = round.entries.iter().find(|entry| entry.submission == first).unwrap();
    assert!(champion.failure.as_ref().unwrap().contains("no longer loads"));
}

#[tokio::test]
async fn a_crash_after_any_step_only_repeats_it() {
    let mut app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let best = submit(&app, &app.miner(1), 25).await;
    submit(&app, &app.miner(2), 8).await;
    wait_for(&app, 1, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    for step in [Step::Closed, Step::Drawn, Step::Screened, Step::Measured, Step::Judged, Step::Paid] {
        wait_for(&app, 1, step).await;
        let (dir, objects) = app.kill().await;
        app = TestApp::start_in(dir, Setup { evaluator: by_size(), objects: Some(objects), ..Setup::default() }).await;
    }
    let round = wait_for(&app, 1, Step::Revealed).await;
    assert_eq!(round.champion, Some(best));
    assert_eq!(round.entries.len(), 2);
}

#[tokio::test]
async fn a_round_is_closed_once_and_in_its_turn() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let digits = competition("digits");
    wait_for(&app, 1, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &digits, app.app.clock.now()).await.unwrap();
    wait_for(&app, 1, Step::Revealed).await;
    let unknown = close_now(&app.app.db, app.app.hotkey, &competition("none"), 1).await;
    assert!(matches!(unknown, Err(RoundError::UnknownRound { .. })), "{unknown:?}");
    let round = wait_for(&app, 2, Step::Open).await;
    assert_eq!((round.champion_before, round.champion), (None, None), "an empty competition crowns nobody");
    let missing = app.miner(1).get("/api/v1/competitions/digits/rounds/9").await;
    assert_eq!(missing.status(), 404);
}

/// Whoever audits a round goes by the log's order; so must the times in it, whatever somebody does to the clock.
#[tokio::test]
async fn nothing_is_announced_before_a_close_that_the_log_has_though_the_clock_is_set_back() {
    let mut app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let closed_at = play(&app, 1).await.closes_at.unwrap();
    app.app.clock.jump(-3_600);
    let followed = async {
        while app.app.clock.now() >= closed_at {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, followed).await.unwrap();
    let id = app.miner(1).announce("digits", &Package::mlp(&[8], 7)).await.unwrap().id;
    let leaf = app.app.db.leaf(&format!("commitment/{id}")).await.unwrap().unwrap();
    assert_eq!(leaf.body["announced_at"], closed_at);
    app.leave_unfinished();
}

#[tokio::test]
async fn a_round_bound_to_drand_waits_for_its_beacon_and_takes_no_other() {
    let app = TestApp::start(Setup { evaluator: by_size(), ..Setup::default() }).await;
    app.publish(&competition_toml("digits", "rounds = { beacon = \"drand\", seconds = 3600 }")).await;
    let digits = competition("digits");
    wait_for(&app, 1, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &digits, app.app.clock.now()).await.unwrap();
    let closed = wait_for(&app, 1, Step::Closed).await;
    assert!(closed.beacon.is_none());
    let terms = app.app.db.round(&digits, 1).await.unwrap().unwrap().record.terms;
    let BeaconRule::Drand { round, .. } = terms.beacon else { panic!("{:?}", terms.beacon) };
    // A genuine beacon of quicknet's first days (from its documentation), which is too early.
    let old = br#"{"round":1000,"randomness":"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd","signature":"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"}"#;
    let refused = supply_beacon(&app.app.db, &digits, old).await.unwrap_err();
    assert!(refused.to_string().contains("comes too early"), "{refused}");
    let forged = format!(
        "{{\"round\":{round},\"randomness\":\"{0}\",\"signature\":\"{0}{1}\"}}",
        "00".repeat(32),
        "00".repeat(16)
    );
    assert!(supply_beacon(&app.app.db, &digits, forged.as_bytes()).await.is_err());
    assert!(supply_beacon(&app.app.db, &digits, b"not json").await.is_err());
    assert_eq!(wait_for(&app, 1, Step::Closed).await, closed, "nothing that was refused left a trace");
}

#[tokio::test]
async fn a_long_round_of_one_competition_holds_up_no_other() {
    let slow = Arc::new(AtomicBool::new(false));
    let evaluator = {
        let slow = Arc::clone(&slow);
        Arc::new(ScriptedEvaluator::new(Arc::new(move |request: EvaluationRequest| {
            let of_letters =
                request.order.candidate.weights.len() == Package::mlp(&[20], 7).file("model.safetensors").len();
            let takes = if of_letters && slow.load(Ordering::SeqCst) { SLOW } else { Duration::ZERO };
            async move {
                tokio::time::sleep(takes).await;
                scripted(&request)
            }
            .boxed()
        })))
    };
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    app.publish(&competition_toml("letters", "")).await;
    for number in 1..=16 {
        let miner = app.miner(number);
        let id = miner.submit_to("letters", &Package::random(&[20], u64::from(number))).await.unwrap();
        app.wait_for(&id, State::Scored).await;
    }
    submit(&app, &app.miner(1), 25).await;
    wait_for(&app, 1, Step::Open).await;

    slow.store(true, Ordering::SeqCst);
    for id in ["letters", "digits"] {
        close_now(&app.app.db, app.app.hotkey, &competition(id), app.app.clock.now()).await.unwrap();
    }
    wait_for(&app, 1, Step::Revealed).await;
    let long = app.app.db.round(&competition("letters"), 1).await.unwrap().unwrap();
    assert!(long.step < Step::Screened, "{} is {}", long.competition, long.step);
    slow.store(false, Ordering::SeqCst);
}

/// What a package answers rightly, parts per million of the items: of public ones, and of fresh ones.
type Known = Arc<std::sync::Mutex<HashMap<Digest, [u64; 2]>>>;

/// Three that are a point better, among twelve as good as the champion and twelve that know the public items by heart: whoever
/// sends many takes no place for ever, and is paid nothing for public results.
#[tokio::test]
async fn a_crowd_keeps_nobody_from_being_decided_and_is_paid_nothing() {
    let known = Known::default();
    let evaluator = {
        let known = Arc::clone(&known);
        script(move |request| {
            let shares = known.lock().unwrap().get(&request.order.package_sha256()).copied().unwrap_or([980_000; 2]);
            scripted_evaluation(request, shares[usize::from(request.truth.public == 0)])
        })
    };
    let app = TestApp::start(Setup { evaluator, ..Setup::default() }).await;
    let rules = "rounds.challengers_max = 5\nreward = { policy = \"ladder\" }";
    app.publish(&competition_toml("digits", rules).replace("submissions_per_day = 4", "submissions_per_day = 9")).await;
    let enter = async |miner: u8, shares: [u64; 2]| {
        let mut package = Package::random(&[8], u64::from(miner));
        known.lock().unwrap().insert(package.sha256(), shares);
        let id = app.miner(miner).submit(&package).await.unwrap();
        app.wait_for(&id, State::Scored).await;
        app.app.clock.advance(1);
        id
    };
    let champion = enter(1, [900_000; 2]).await;
    assert_eq!(play(&app, 1).await.champion, Some(champion));

    let (mut memorisers, mut better) = (Vec::new(), Vec::new());
    for crowd in 0..12 {
        memorisers.push(enter(20 + crowd, [990_000, 560_000]).await);
        enter(40 + crowd, [900_000; 2]).await;
        if crowd % 4 == 3 {
            better.push(enter(60 + crowd, [910_000; 2]).await);
        }
    }
    let mut decided = HashSet::new();
    for round in 2..5 {
        let round = play(&app, round).await;
        let paid: Vec<Hotkey> = round.weights.iter().map(|weight| weight.hotkey).collect();
        let challengers = round.entries.iter().filter(|entry| entry.role == EntryRole::Challenger);
        decided.extend(challengers.map(|entry| entry.submission.clone()));
        assert!((20..32).all(|crowd| !paid.contains(&app.miner(crowd).hotkey())), "round {}: {paid:?}", round.round);
    }
    assert!(better.iter().all(|id| decided.contains(id)), "{better:?} within three rounds: {decided:?}");
    assert!(memorisers.iter().all(|id| !decided.contains(id)), "memorisers take places: {decided:?}");
}

/// The larger, the more answers are right: by how much a package is trained, so to say.
pub(crate) fn by_size() -> Arc<ScriptedEvaluator> {
    script(scripted)
}

fn script(
    script: impl Fn(&EvaluationRequest) -> Result<protocol::evaluation::Evaluation, EvaluationFailure>
    + Send
    + Sync
    + 'static,
) -> Arc<ScriptedEvaluator> {
    Arc::new(ScriptedEvaluator::new(Arc::new(move |request| {
        let evaluation = script(&request);
        Box::pin(async move { evaluation })
    })))
}

/// The teacher is right on 98 %, a package of 25 neurons on 97 %, a smaller one on 90 %.
fn scripted(request: &EvaluationRequest) -> Result<protocol::evaluation::Evaluation, EvaluationFailure> {
    let correct_ppm = match request.truth.teacher_logits {
        None => 980_000,
        Some(_) if request.order.candidate.weights.len() > 7_000 => 970_000,
        Some(_) => 900_000,
    };
    scripted_evaluation(request, correct_ppm)
}

pub(crate) async fn submit(app: &TestApp, miner: &Miner, hidden: u32) -> SubmissionId {
    let id = miner.submit(&Package::mlp(&[hidden], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    // Rounds take up what was announced before they close.
    app.app.clock.advance(1);
    id
}

/// Closes a round and waits until everybody may see all of it.
pub(crate) async fn play(app: &TestApp, round: u64) -> RoundView {
    wait_for(app, round, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    wait_for(app, round, Step::Revealed).await
}

/// Waits until a round has come to `step`, or beyond.
pub(crate) async fn wait_for(app: &TestApp, round: u64, step: Step) -> RoundView {
    let miner = app.miner(9);
    let reached = async {
        loop {
            let answer = miner.get(&format!("/api/v1/competitions/digits/rounds/{round}")).await;
            if answer.status() == 200 {
                let view: RoundView = answer.json().await.unwrap();
                if view.step >= step {
                    return view;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("round {round} never came to {step}"))
}

async fn object(miner: &Miner, sha256: &Digest) -> Vec<u8> {
    let answer = miner.get(&format!("/api/v1/objects/sha256/{sha256}")).await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap().to_vec()
}

async fn items(app: &TestApp, round: u64) -> Images {
    let drawn = wait_for(app, round, Step::Revealed).await.drawn.unwrap();
    Images::from_bytes(&object(&app.miner(9), &drawn.items.sha256).await).unwrap()
}

#[tokio::test]
async fn a_change_of_the_reward_takes_effect_at_the_round_that_was_named() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let digits = competition("digits");
    let (alice, bob) = (app.miner(1), app.miner(2));
    submit(&app, &alice, 25).await;
    submit(&app, &bob, 8).await;
    wait_for(&app, 1, Step::Open).await;
    let announce = async |from_round, policy| {
        let reward = RewardRules::from(policy);
        let change = PolicyChange { from_round, reward };
        announce_reward(&app.app.db, app.app.hotkey, &digits, change, app.app.clock.now()).await
    };
    let late = announce(1, RewardPolicy::Ladder).await.unwrap_err();
    assert!(late.to_string().contains("name round 2 or a later one"), "{late}");
    announce(2, RewardPolicy::Ladder).await.unwrap();
    let again = announce(2, RewardPolicy::WinnerTakesAll).await.unwrap_err();
    assert!(again.to_string().contains("another change was announced"), "{again}");

    let view: protocol::api::CompetitionView = alice.get("/api/v1/competitions/digits").await.json().await.unwrap();
    assert_eq!(view.reward_changes.len(), 1);
    let ppm = |round: &RoundView| round.weights.iter().map(|weight| weight.weight_ppm).collect::<Vec<_>>();
    let [champion] = ppm(&play(&app, 1).await)[..] else { panic!("as the manifest says, the champion alone") };
    assert!(champion > 500_000, "{champion}");
    assert_eq!(ppm(&play(&app, 2).await), [300_000, 200_000], "as was announced");
}
