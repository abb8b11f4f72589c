//! `retort verify round`: does a finished round again, from its commitment to its champion, and trusts nothing that it
//! can compute.

use super::checks::Checks;
use super::ledger;
use super::rerun::answers;
use super::{HttpLog, line, log_key, witnesses};
use crate::cli::VerifyRoundArgs;
use crate::commands::competition;
use anyhow::{Context, Result, bail};
use datasets::hidden::{Beacon, BeaconRule, DrandChain, Expected, Reveal, Revealed, Spent, relabel, verify_reveal};
use datasets::{Images, Logits};
use futures::executor::block_on;
use miner_template::client::Client;
use protocol::api::CompetitionView;
use protocol::competition::HiddenPool;
use protocol::evaluation::{Items, PackageBytes};
use std::sync::Arc;
use transparency::{Envelope, verify_entries};
use validator::db::rounds::{Drawn, Step};
use validator::rounds::RoundView;

pub(super) fn run(args: &VerifyRoundArgs) -> Result<()> {
    let (client, id) = competition(&args.competition, &args.validator.validator)?;
    let view = client.competition(&id)?;
    let round: RoundView = client.get_json(&format!("/api/v1/competitions/{id}/rounds/{}", args.round))?;
    let (Some(reveal), Some(drawn)) = (round.reveal, round.drawn.clone()) else {
        bail!("round {} of {id} is {}, and only a revealed round can be done again", args.round, round.step);
    };
    let reveal = Reveal::from_bytes(&client.object(&reveal)?).context("read the reveal")?;
    let before = before(&client, &view, &round)?;
    let mut checks = Checks::new(args.json);
    match again(&view, &round, &reveal, &before) {
        Ok(revealed) => {
            beacon(&mut checks, &round, &reveal);
            ledger::compare(&mut checks, &client, &view, &round)?;
            let count = revealed.images.count;
            checks.ok("draw", format!("{count} items follow from commitment, beacon and secret"));
            items(&mut checks, &client, &drawn, &revealed)?;
            teacher(&mut checks, &client, &view, &drawn, &revealed)?;
            checks.unclear("judgement", "it rests on earlier rounds, which aren't read here yet");
            witnessed(&mut checks, &client, &view, &round, args)?;
        }
        Err(error) => checks.bad("draw", format!("{error:#}")),
    }
    checks.finish(&format!("round {} of {id}", args.round))
}

/// What a round follows from beside its own reveal.
#[derive(Default)]
struct Before {
    /// Of the first round that was drawn; `None` if that is this one.
    fixed_seed: Option<[u8; 32]>,
    /// Of a private pool.
    spent: Spent,
}

/// Does earlier rounds again: the first that was drawn, or all of them where the pool is private.
fn before(client: &Client, view: &CompetitionView, round: &RoundView) -> Result<Before> {
    let manifest = &view.competition.manifest;
    let mut before = Before::default();
    for number in 1..round.round {
        if before.fixed_seed.is_some() && manifest.data.hidden_pool == HiddenPool::Public {
            break;
        }
        let earlier: RoundView = client.get_json(&format!("/api/v1/competitions/{}/rounds/{number}", manifest.id))?;
        if earlier.step == Step::Abandoned {
            continue;
        }
        let reveal = earlier.reveal.with_context(|| format!("round {number} isn't revealed"))?;
        let reveal = Reveal::from_bytes(&client.object(&reveal)?).with_context(|| format!("read reveal {number}"))?;
        let revealed = again(view, &earlier, &reveal, &before).with_context(|| format!("do round {number} again"))?;
        before.fixed_seed.get_or_insert(revealed.fixed_seed);
        before.spent.add(&revealed.draw);
    }
    Ok(before)
}

/// Whether the round was bound to a beacon that nobody knew when it closed.
fn beacon(checks: &mut Checks, round: &RoundView, reveal: &Reveal) {
    let (chain, closed_at) = (DrandChain::quicknet(), round.closes_at.unwrap_or(round.opened_at));
    match (reveal.terms.beacon.check_close(&chain, closed_at), &reveal.terms.beacon) {
        (Ok(()), BeaconRule::Drand { round, .. }) => {
            let late = chain.round_unix(*round).saturating_sub(closed_at);
            checks.ok("beacon", format!("round {round} of drand, which came {late} s after the close"));
        }
        (Ok(()), _) => {
            checks.ok("beacon", "an entry of the validator's own ledger: it can grind that, so don't pay by it")
        }
        (Err(error), _) => checks.bad("beacon", error.to_string()),
    }
}

fn again(view: &CompetitionView, round: &RoundView, reveal: &Reveal, before: &Before) -> Result<Revealed> {
    let competition = &view.competition;
    let pool_root = competition.hidden_root.to_string();
    let expected = Expected {
        competition: competition.manifest.id.as_ref(),
        round: round.round,
        pool_root: &pool_root,
        pool_count: competition.manifest.data.hidden_items,
        rules: &competition.manifest.rounds,
        hidden_pool: competition.manifest.data.hidden_pool,
        spent: &before.spent,
        commitment: &round.commitment,
        beacon: round.beacon.as_ref(),
        chain: Some(&DrandChain::quicknet()),
        fixed_seed: before.fixed_seed.as_ref(),
    };
    Ok(verify_reveal(reveal, &expected)?)
}

/// Whether the round was bound, and closed, before anybody could know its beacon, on the word of witnesses.
fn witnessed(
    checks: &mut Checks,
    client: &Client,
    view: &CompetitionView,
    round: &RoundView,
    args: &VerifyRoundArgs,
) -> Result<()> {
    let trusted = witnesses::trusted(&args.trusted, &view.competition.manifest.log)?;
    if trusted.is_empty() {
        eprintln!("not shown to be before the beacon: no witness is named, here (--witness) or in the manifest");
        return Ok(());
    }
    let key = log_key(client, None)?;
    let names = ["opened", "closed"].map(|what| (what, format!("round/{}/{}/{what}", round.competition, round.round)));
    let mut leaves = Vec::new();
    let files = HttpLog(client);
    let read = verify_entries(&files, &key, None, |index, entry| {
        let found = Envelope::parse(entry).ok().and_then(|leaf| names.iter().find(|(_, name)| *name == leaf.key));
        leaves.extend(found.map(|(what, _)| (*what, index)));
    });
    let checkpoint = match block_on(read) {
        Ok(verified) => verified.checkpoint,
        Err(error) => {
            checks.bad("log", line(&error));
            return Ok(());
        }
    };
    if leaves.len() < names.len() {
        checks.bad("log", "it doesn't state that the round opened and closed");
        return Ok(());
    }
    let beacon_at = match &round.beacon {
        Some(Beacon::Drand { published, .. }) => Some(DrandChain::quicknet().round_unix(published.round)),
        Some(Beacon::Ledger { .. }) | None => None,
    };
    witnesses::before_beacon(checks, client, (&key, &checkpoint), &trusted, &leaves, beacon_at)
}

/// Whether the published items are those.
fn items(checks: &mut Checks, client: &Client, drawn: &Drawn, revealed: &Revealed) -> Result<()> {
    let published = Images::from_bytes(&client.object(&drawn.items)?)?;
    let holds = published == revealed.images && drawn.fixed == revealed.draw.fixed;
    let detail =
        format!("{} fixed and {} fresh ones, as published", drawn.fixed, published.count.saturating_sub(drawn.fixed));
    checks.that("items", holds, detail, "the published items are others than those that were drawn");
    Ok(())
}

/// Asks the teacher again, here, and gives mixtures its answers.
fn teacher(
    checks: &mut Checks,
    client: &Client,
    view: &CompetitionView,
    drawn: &Drawn,
    revealed: &Revealed,
) -> Result<()> {
    let published = Logits::from_bytes(&client.object(&drawn.teacher_logits)?)?;
    let package = |model: &protocol::competition::PublishedModel| -> Result<PackageBytes> {
        Ok(PackageBytes {
            config_json: client.object(&model.config_json)?.into(),
            weights: client.object(&model.weights)?.into(),
        })
    };
    let competition = &view.competition;
    let items = Items {
        input: competition.manifest.input.clone(),
        pixels: revealed.images.pixels.clone().into(),
        labels: revealed.images.labels.clone().into(),
        public: 0,
        teacher_logits: None,
    };
    let models = (package(&competition.teacher)?, package(&competition.reference)?);
    let logits = answers("the teacher", models, items, Arc::from([]))?.logits;
    let mut relabelled = revealed.images.clone();
    relabel(&mut relabelled, &revealed.draw, &logits, published.classes)?;
    match logits == published.values {
        true => checks.ok("teacher", "its outputs are bit for bit the published ones"),
        false => checks
            .unclear("teacher", "its outputs here aren't bit for bit the published ones: another class of machine?"),
    }
    let holds = relabelled.labels == revealed.images.labels;
    checks.that("labels", holds, "mixtures have the teacher's labels", "mixtures have other labels than the teacher's");
    Ok(())
}
