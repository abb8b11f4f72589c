//! Who is timed by which clock after a change of engine: a latency of another engine compares with none, so whoever waits and was
//! never timed on the new one is measured in full, and nobody else is.

use super::Case;
use super::history::Past;
use super::members::{Field, Own};
use protocol::dethrone::Rule;
use protocol::outcomes::Outcomes;
use protocol::round::EntryRole;
use protocol::{SignedReceipt, SubmissionId};
use referee::RecordedMember;
use std::collections::BTreeMap;

/// The latest measurements in full by earlier rounds of the audited one's engine; of nobody while the engine is the published one.
pub(super) struct Retimed(BTreeMap<SubmissionId, Outcomes>);

impl Retimed {
    pub(super) fn read(case: &Case<'_>, past: &Past) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        let since = case.official().since;
        for (_, record) in past.earlier.range(since..).filter(|_| since > 0) {
            for member in &record.members {
                if let Some(outcomes) = measured_in_full(case, member)? {
                    found.insert(member.submission.clone(), outcomes);
                }
            }
        }
        Ok(Self(found))
    }

    /// What a member was timed by before this round on the round's engine: its own measurement, or that of the latest round.
    pub(super) fn before<'a>(&'a self, case: &Case<'_>, own: &'a Own, id: &SubmissionId) -> Option<&'a Outcomes> {
        let own = case.official().timed(&own.report.engine).then_some(&own.outcomes);
        own.or_else(|| self.0.get(id))
    }

    /// Whether a member that waits was measured in full exactly if it was never timed on the round's engine.
    pub(super) fn as_it_had_to_be(
        &self,
        case: &Case<'_>,
        past: &Past,
        field: &Field,
        member: &RecordedMember,
    ) -> Result<(), String> {
        let id = &member.submission;
        let Some(own) = field.own.get(id).filter(|_| member.role == EntryRole::Screened) else { return Ok(()) };
        let is_due = waits(member) && self.before(case, own, id).is_none();
        let left = member.copy_of.is_some() || past.disqualified(case).contains(id);
        match (is_due, &member.receipt, &member.failure) {
            (true, None, None) if !left => {
                Err(format!("{id} was never timed on {}, and isn't in this round either", case.official().engine))
            }
            (false, Some(_), _) => Err(format!("{id} was timed again, which nothing asks for")),
            _ => Ok(()),
        }
    }
}

/// What a record has of a member's measurement in full.
pub(super) fn measured_in_full(case: &Case<'_>, member: &RecordedMember) -> Result<Option<Outcomes>, String> {
    let Some(object) = member.receipt else { return Ok(None) };
    let signed = SignedReceipt::parse(&case.object(&object.sha256)?).map_err(|error| error.to_string())?;
    let outcomes = case.object(&signed.receipt.subject.outcomes_sha256)?;
    Outcomes::from_bytes(&outcomes).map(Some).map_err(|error| error.to_string())
}

/// Whether screening left it waiting.
pub(super) fn waits(member: &RecordedMember) -> bool {
    member.role == EntryRole::Screened && member.verdict.is_some_and(|verdict| verdict.rule == Rule::Screened)
}
