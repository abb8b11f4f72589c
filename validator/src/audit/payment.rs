//! Who was paid: the reward rules on the judgement, held against the record, the leaf `reward` and the ledger.

use super::history::Past;
use super::statements::Stated;
use super::{Case, Findings};
use protocol::reward::{History, Payment, Standing, Weight};
use protocol::{Hotkey, SubmissionId};
use std::collections::{BTreeMap, BTreeSet};

/// Weights from a judgement that was computed here.
pub(super) fn settled(
    case: &Case<'_>,
    past: &Past,
    (standing, champion): (Standing, Option<SubmissionId>),
    history: &History,
    findings: &mut Findings<'_>,
) {
    let record = &past.record;
    let schedule = match past.schedule(case) {
        Ok(schedule) => schedule,
        Err(problem) => return findings.bad("payment", problem),
    };
    let unpaid: BTreeSet<Hotkey> = record.not_registered.iter().copied().collect();
    // The judgement is what it is; but who was disqualified by then isn't paid.
    let champion = champion.filter(|champion| !past.disqualified(case).contains(champion));
    let entrants = standing.entrants.into_iter().filter(|it| !unpaid.contains(&it.hotkey)).collect();
    let standing = Standing { entrants, champion, ..standing };
    let Payment { mut weights, past: added, .. } = schedule.policy_at(record.round).pay(history, &standing);
    weights.retain(|weight| !unpaid.contains(&weight.hotkey));
    let mut problems = Vec::new();
    if weights != record.weights {
        problems.push(format!("the rules pay {}, the record {}", shown(&weights), shown(&record.weights)));
    }
    if added != record.past {
        problems.push("what later rounds are paid by is another".into());
    }
    let registered = |hotkey: &&Hotkey| {
        case.ledger.is_some_and(|ledger| ledger.registrations.iter().any(|it| it.hotkey == **hotkey))
    };
    problems.extend(unpaid.iter().filter(registered).map(|hotkey| format!("{hotkey} isn't paid, and is registered")));
    findings.all("payment", &problems, format!("by the same rules: {}", shown(&weights)));
}

/// The record's weights are those of the log and of the ledger.
pub(super) fn check(case: &Case<'_>, stated: &Stated, past: &Past, findings: &mut Findings<'_>) {
    let record = &past.record;
    let logged: Option<Vec<Weight>> = Stated::field(stated.reward.as_ref(), "weights");
    if logged.as_ref() != Some(&record.weights) {
        let logged = logged.map_or("nothing".to_owned(), |weights| shown(&weights));
        return findings.bad("ledger", format!("the leaf `reward` says {logged}, not {}", shown(&record.weights)));
    }
    let Some(epoch) = Stated::field::<u64>(stated.reward.as_ref(), "epoch") else {
        return findings.bad("ledger", "the leaf `reward` doesn't say where the ledger has the weights");
    };
    let taken = case.log.rounds(case.id()).filter(|(round, other)| {
        *round != record.round && Stated::field(other.reward.as_ref(), "epoch") == Some(epoch)
    });
    if taken.count() > 0 {
        return findings.bad("ledger", format!("two rounds name epoch {epoch} of the ledger"));
    }
    let expected: BTreeMap<Hotkey, u32> = record.weights.iter().map(|it| (it.hotkey, it.weight_ppm)).collect();
    match case.ledger.map(|ledger| ledger.weights.get(&epoch)) {
        None => findings.unclear("ledger", "it isn't served, so nobody can see whether it paid that"),
        Some(None) => findings.bad("ledger", format!("it has no weights of epoch {epoch}")),
        Some(Some(paid)) if paid.iter().copied().collect::<BTreeMap<_, _>>() == expected => {
            findings.ok("ledger", format!("epoch {epoch} has the weights of the leaf `reward`"));
        }
        Some(Some(_)) => findings.bad("ledger", format!("epoch {epoch} has other weights than the leaf `reward`")),
    }
}

fn shown(weights: &[Weight]) -> String {
    if weights.is_empty() {
        return "nobody".to_owned();
    }
    let parts: Vec<String> = weights.iter().map(|it| format!("{} ppm to {}", it.weight_ppm, it.hotkey)).collect();
    parts.join(", ")
}
