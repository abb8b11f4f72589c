//! `retort verify watch`: follows a validator, audits each round as it is revealed, and ends at the first lie.
//!
//! The log may only grow: each time it is held against the checkpoint seen before.

use super::checks::{Checks, Verdict};
use super::{line, log_key, round};
use crate::cli::VerifyWatchArgs;
use crate::commands::competition;
use anyhow::{Context, Result, bail};
use miner_template::client::{Client, tell};
use protocol::CompetitionId;
use serde_json::json;
use std::time::Duration;
use transparency::{LogKey, SignedCheckpoint, VerifyError};

/// What was seen so far.
struct Watch<'a> {
    args: &'a VerifyWatchArgs,
    client: Client,
    id: CompetitionId,
    key: LogKey,
    seen: Option<SignedCheckpoint>,
    /// The next round to audit.
    next: u64,
}

pub(super) fn run(args: &VerifyWatchArgs) -> Result<()> {
    let (client, id) = competition(&args.competition, &args.validator.validator)?;
    let key = log_key(&client, args.options.key.as_ref())?;
    let mut watch = Watch { args, client, id, key, seen: None, next: args.from };
    loop {
        // A validator that doesn't answer is no liar: it is asked again.
        if let Err(error) = watch.look()? {
            eprintln!("the validator can't be asked: {error:#}; trying again");
        }
        if args.until.is_some_and(|until| watch.next > until) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(args.every));
    }
}

impl Watch<'_> {
    /// Audits what is new. The outer error is a lie, the inner one a validator that can't be asked.
    fn look(&mut self) -> Result<Result<()>> {
        if let Err(error) = self.client.competition(&self.id) {
            return Ok(Err(error.into()));
        }
        let (log, checkpoint) = match round::read(&self.client, &self.key, self.seen.as_ref()) {
            Ok(read) => read,
            Err(error @ VerifyError::Unreadable { .. }) => return Ok(Err(error.into())),
            Err(lie) => return self.lied(&format!("the public log: {}", line(&lie))).map(Ok),
        };
        let latest = log.latest_revealed(&self.id).unwrap_or(0);
        while self.next <= latest.min(self.args.until.unwrap_or(u64::MAX)) {
            let (number, mut checks) = (self.next, Checks::new(false));
            println!("round {number} of {}", self.id);
            match round::audited(&self.client, &self.id, number, &log, &self.args.options, &mut checks) {
                Err(error) => return Ok(Err(error)),
                Ok(Err(cannot)) => println!("?    {cannot}"),
                Ok(Ok(())) => {
                    let (name, key) = ((&self.id, number), (&self.key, &checkpoint));
                    if let Err(error) = round::witnessed(&self.client, name, &log, key, &self.args.options, &mut checks)
                    {
                        return Ok(Err(error));
                    }
                }
            }
            if checks.verdict() == Verdict::Bad {
                return self.lied(&format!("round {number}: {}", checks.first_bad())).map(Ok);
            }
            self.next += 1;
        }
        self.seen = Some(checkpoint);
        Ok(Ok(()))
    }

    /// Tells whoever wants to know, and ends.
    fn lied(&self, what: &str) -> Result<()> {
        if let Some(webhook) = &self.args.webhook {
            let (validator, competition) = (self.client.base(), &self.id);
            let body = json!({"event": "lie", "validator": validator, "competition": competition, "detail": what});
            tell(webhook, &body).with_context(|| format!("{what}; and {webhook} couldn't be told"))?;
        }
        bail!("{what}")
    }
}
