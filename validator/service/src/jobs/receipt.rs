//! The signed receipt of an evaluation: issued with it, kept as an object, stated in the public log.
//!
//! A submission is measured on the public items alone, so a receipt's data root is the digest of the competition's file
//! of public images, which everybody can download; it covers pixels, order and labels. (A round's receipts name
//! the root that the round committed to: `rounds::measure`.) It does not know what was measured.

use super::evaluate::AttemptError;
use crate::app::App;
use protocol::competition::ObjectRef;
use protocol::leaf::receipt_key;
use protocol::receipt::{MeasuredBy, Subject};
use protocol::{Digest, Receipt, Report, SignedReceipt};
use store::db::competitions::StoredCompetition;
use store::db::submissions::Submission;
use store::db::{DbError, Tx, leaves};
use store::failpoints::{self, Moment};
use transparency::EntryKind;

/// What a receipt is called on disk.
pub(super) const RECEIPT_FILE: &str = "receipt.json";

/// A receipt that is stored and not yet stated.
pub(super) struct Issued {
    signed: SignedReceipt,
    /// Its bytes.
    pub(super) object: ObjectRef,
}

/// Signs and stores what `report` says about `submission`, of which it is the measurement `attempt`, by `worker` if not by this machine.
pub(super) async fn issue(
    app: &App,
    submission: &Submission,
    (attempt, worker): (u64, Option<MeasuredBy>),
    stored: &StoredCompetition,
    report: &Report,
    outcomes_sha256: Digest,
) -> Result<Issued, AttemptError> {
    let subject = Subject {
        competition: submission.competition.clone(),
        competition_sha256: stored.sha256,
        submission: submission.id.clone(),
        hotkey: submission.hotkey,
        attempt,
        round: None,
        worker,
        data_root: stored.competition.tables.evaluation.sha256,
        outcomes_sha256,
    };
    let signed = Receipt::issue(&app.keypair, subject, report, app.clock.now())?;
    failpoints::at(Moment::ReceiptSigned)?;
    let object = app.objects.put(signed.to_json()?.into()).await?;
    Ok(Issued { signed, object })
}

impl Issued {
    /// States the receipt in the public log, with the transaction that records its evaluation.
    pub(super) async fn state(&self, tx: &mut Tx) -> Result<(), DbError> {
        let key = receipt_key(&self.signed.receipt.subject.submission);
        leaves::enqueue(tx, &key, EntryKind::Receipt, &self.signed).await
    }
}
