//! `retort validator requeue` and `disqualify`: what an operator does to a submission by hand; `answer-appeal`: what an
//! operator says about one.
//!
//! They write to the database, beside a serving validator or without one; stating the act in the public log is part of
//! it. Over HTTP the same is done by `POST /api/v1/operator/submissions/{id}/…`.

use super::round::database;
use super::validator::runtime;
use crate::cli::ActArgs;
use anyhow::Result;
use protocol::SubmissionId;
use std::path::Path;
use validator::administration::{self, ActReason};
use validator::appeals::{self, Words};
use validator::{Clock, Home};

pub(crate) fn requeue(args: &ActArgs) -> Result<()> {
    runtime()?.block_on(async {
        let (db, hotkey, reason) = opened(args).await?;
        administration::requeue(&db, hotkey, &args.submission, reason, Clock::System.now()).await?;
        println!("{} will be checked and evaluated again", args.submission);
        stated();
        Ok(())
    })
}

pub(crate) fn disqualify(args: &ActArgs) -> Result<()> {
    runtime()?.block_on(async {
        let (db, hotkey, reason) = opened(args).await?;
        let before = administration::disqualify(&db, hotkey, &args.submission, reason, Clock::System.now()).await?;
        println!("{} is out of {}", args.submission, before.competition);
        stated();
        Ok(())
    })
}

pub(crate) fn answer(dir: &Path, submission: &SubmissionId, number: u64, text: &str) -> Result<()> {
    let words: Words = text.parse()?;
    runtime()?.block_on(async {
        let hotkey = Home::new(dir).keypair()?.hotkey();
        appeals::answer(&database(dir).await?, hotkey, submission, number, words, Clock::System.now()).await?;
        println!("appeal {number} of {submission} is answered");
        stated();
        Ok(())
    })
}

/// The reason is read first: nothing is touched for a bad one.
async fn opened(args: &ActArgs) -> Result<(validator::db::Db, protocol::Hotkey, ActReason)> {
    let reason = args.reason.parse()?;
    let hotkey = Home::new(&args.home.dir).keypair()?.hotkey();
    Ok((database(&args.home.dir).await?, hotkey, reason))
}

fn stated() {
    println!("next: a serving validator puts it into the public log; without one, retort validator serve does");
}
