//! `retort verify watch`: follows a validator, audits each round as it is over, and ends at the first lie.
//!
//! The log may only grow: each time it is held against the checkpoint seen before. It goes on past an abandoned round,
//! which decided nothing, and past no other that it couldn't check.

use super::checks::{CannotBeChecked, Checks, Lie, Verdict};
use super::round;
use super::{line, log_key};
use crate::cli::VerifyWatchArgs;
use crate::commands::competition;
use anyhow::{Context, Result};
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
    /// Rounds with a check that couldn't be made here.
    unclear: Vec<u64>,
    /// The judged round that was said to be waited for.
    awaited: Option<u64>,
}

pub(super) fn run(args: &VerifyWatchArgs) -> Result<()> {
    let (client, id) = competition(&args.competition, &args.validator.validator)?;
    let key = log_key(&client, args.options.key.as_ref())?;
    let next = args.from;
    let mut watch = Watch { args, client, id, key, seen: None, next, unclear: Vec::new(), awaited: None };
    loop {
        // A validator that doesn't answer is no liar: it is asked again.
        if let Err(error) = watch.look()? {
            eprintln!("the validator can't be asked: {error:#}; trying again");
        }
        if args.until.is_some_and(|until| watch.next > until) {
            return watch.finish();
        }
        std::thread::sleep(Duration::from_secs(args.every));
    }
}

impl Watch<'_> {
    /// Audits what is new. The outer error is a lie or what can't be checked, the inner one a validator that can't be asked.
    fn look(&mut self) -> Result<Result<()>> {
        if let Err(error) = self.client.competition(&self.id) {
            return Ok(Err(error.into()));
        }
        loop {
            let before = match round::read(&self.client, &self.key, self.seen.as_ref()) {
                Ok(read) => read,
                Err(error @ VerifyError::Unreadable { .. }) => return Ok(Err(error.into())),
                Err(lie) => return self.lied(&format!("the public log: {}", line(&lie))).map(Ok),
            };
            self.seen = Some(before.1.clone());
            if self.next > before.0.latest_over(&self.id).min(self.args.until.unwrap_or(u64::MAX)) {
                self.tell_awaited(before.0.unrevealed(&self.id));
                return Ok(Ok(()));
            }
            let (number, mut checks) = (self.next, Checks::new(false));
            println!("round {number} of {}", self.id);
            let name = (&self.id, number);
            let (key, options) = (&self.key, &self.args.options);
            match round::audited(&self.client, name, key, &before, options, &mut checks) {
                // This machine won't be able to at the next look either.
                Err(error) if error.is::<CannotBeChecked>() => return Err(error),
                Err(error) => return Ok(Err(error)),
                Ok(Err(cannot)) if cannot.decided => self.cannot(&cannot.to_string())?,
                Ok(Err(abandoned)) => println!("-    {abandoned}"),
                Ok(Ok(())) if checks.verdict() == Verdict::Bad => {
                    return self.lied(&format!("round {number}: {}", checks.first_bad())).map(Ok);
                }
                Ok(Ok(())) if checks.verdict() == Verdict::Unclear => self.unclear.push(number),
                Ok(Ok(())) => {}
            }
            self.next += 1;
        }
    }

    /// Says once that a judged round isn't revealed: nobody can tell how long that may take.
    fn tell_awaited(&mut self, round: Option<u64>) {
        if let Some(number) = round.filter(|_| self.awaited != round) {
            println!("?    round {number} of {} is judged, and can't be checked before it is revealed", self.id);
        }
        self.awaited = round;
    }

    /// All rounds that were to be audited were: an error unless all is well.
    fn finish(&self) -> Result<()> {
        if self.unclear.is_empty() {
            return Ok(());
        }
        let rounds: Vec<String> = self.unclear.iter().map(u64::to_string).collect();
        let rounds = rounds.join(", ");
        Err(CannotBeChecked(format!("nothing is wrong, and some checks of round {rounds} can't be made here (?)"))
            .into())
    }

    /// Ends at a round that can't be checked at all, which is no lie and no more than that.
    fn cannot(&self, what: &str) -> Result<()> {
        println!("?    {what}");
        self.tell("unchecked", what)?;
        let next = self.next.saturating_add(1);
        Err(CannotBeChecked(format!("{what}; to go on without it, pass --from {next}")).into())
    }

    /// Tells whoever wants to know, and ends.
    fn lied(&self, what: &str) -> Result<()> {
        match self.tell("lie", what) {
            Ok(()) => Err(Lie(what.to_owned()).into()),
            Err(untold) => Err(Lie(format!("{untold:#}")).into()),
        }
    }

    fn tell(&self, event: &str, what: &str) -> Result<()> {
        let Some(webhook) = &self.args.webhook else { return Ok(()) };
        let (validator, competition) = (self.client.base(), &self.id);
        let body = json!({"event": event, "validator": validator, "competition": competition, "detail": what});
        tell(webhook, &body).with_context(|| format!("{what}; and {webhook} couldn't be told"))
    }
}
