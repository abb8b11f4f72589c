//! Who was paid: the reward rules on the judgement, held against the record, the leaf `reward` and the ledger.

use super::history::Past;
use super::statements::Stated;
use super::{Case, Findings, LedgerSeen};
use protocol::reward::{History, Payment, Reason, Standing, Weight};
use protocol::{Hotkey, SubmissionId};
use std::collections::{BTreeMap, BTreeSet};

/// Weights from a judgement that was computed here; says why everybody earns what they earn.
pub(super) fn settled(
    case: &Case<'_>,
    past: &Past,
    (standing, champion): (Standing, Option<SubmissionId>),
    history: &History,
    findings: &mut Findings<'_>,
) -> Option<Vec<Reason>> {
    let record = &past.record;
    let schedule = match past.schedule(case) {
        Ok(schedule) => schedule,
        Err(problem) => {
            findings.bad("payment", problem);
            return None;
        }
    };
    let unpaid: BTreeSet<Hotkey> = record.not_registered.iter().copied().collect();
    // The judgement is what it is; but who was disqualified by then isn't paid.
    let champion = champion.filter(|champion| !past.disqualified(case).contains(champion));
    let entrants = standing.entrants.into_iter().filter(|it| !unpaid.contains(&it.hotkey)).collect();
    let standing = Standing { entrants, champion, ..standing };
    let Payment { mut weights, past: added, why, .. } = schedule.policy_at(record.round).pay(history, &standing);
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
    Some(why)
}

/// The record's weights are those of the log and of the ledger, which pays nothing else.
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
    let Some(ledger) = case.ledger else {
        return findings.unclear("ledger", "it isn't served, so nobody can see whether it paid that");
    };
    let mut problems = unaccounted(case, ledger);
    let expected: BTreeMap<Hotkey, u32> = record.weights.iter().map(|it| (it.hotkey, it.weight_ppm)).collect();
    match ledger.weights.get(&epoch) {
        None => problems.push(format!("it has no weights of epoch {epoch}")),
        Some(paid) if paid.iter().copied().collect::<BTreeMap<_, _>>() == expected => {}
        Some(_) => problems.push(format!("epoch {epoch} has other weights than the leaf `reward`")),
    }
    let detail = format!("epoch {epoch} has the weights of the leaf `reward`, and nobody is paid but by rounds");
    findings.all("ledger", &problems, detail);
}

/// Payments, of any competition, that stand for no round or for two.
fn unaccounted(case: &Case<'_>, ledger: &LedgerSeen) -> Vec<String> {
    let (mut problems, mut named) = (Vec::new(), BTreeMap::new());
    for (competition, round, stated, epoch) in case.log.paid() {
        let name = format!("round {round} of {competition}");
        if stated.judged.is_none() || !case.log.competitions.contains_key(competition) {
            problems.push(format!("{name} was paid, and the log has no judgement of it"));
        }
        if let Some(other) = named.insert(epoch, name.clone()) {
            problems.push(format!("{other} and {name} both name epoch {epoch}"));
        }
    }
    let extra = case.log.unnamed(ledger);
    problems.extend(extra.iter().map(|epoch| format!("it paid epoch {epoch}, which no round of the log names")));
    problems
}

fn shown(weights: &[Weight]) -> String {
    if weights.is_empty() {
        return "nobody".to_owned();
    }
    let parts: Vec<String> = weights.iter().map(|it| format!("{} ppm to {}", it.weight_ppm, it.hotkey)).collect();
    parts.join(", ")
}
