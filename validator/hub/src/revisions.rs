//! Revisions by their names: `main`, `round-N`, or the 40 hex digits of a commit.
//!
//! A revision is made when somebody first asks for what it shows, written down, and the same from then on. It does not
//! know what is in one ([`contents`]).

use crate::contents::{self, Around, COMMIT_DIGITS, Contents, Subject};
use crate::errors::HubError;
use crate::repository::{MAIN, Repository};
use edge::error::ApiError;
use protocol::api::ModelForm;
use protocol::round::Step;
use protocol::{CompetitionId, SubmissionId};
use service::app::App;
use service::board;
use store::db::competitions::{PublicObject, publish_object};
use store::db::hub::{self, Revision};
use store::db::rounds::Round;
use store::failpoints::{self, Change};

const HEAD: &str = "HEAD";
/// What the tags of rounds begin with.
const ROUND: &str = "round-";

/// A tag with what it stands for.
#[derive(Debug)]
pub(crate) struct Tag {
    /// `round-1`.
    pub(crate) name: String,
    /// Who held the seat when that round was judged.
    pub(crate) champion: SubmissionId,
    /// When that was, in Unix seconds.
    pub(crate) at: u64,
}

/// The revision that `name` means in `repository`.
pub(crate) async fn find(app: &App, repository: &Repository, name: &str) -> Result<Revision, HubError> {
    check_exists(app, repository).await?;
    if name.len() == COMMIT_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let found = app.db.hub_commit(&repository.to_string(), &name.to_ascii_lowercase()).await?;
        let hint = "A commit id is one that this validator gave you for this repository.";
        return found.ok_or_else(|| HubError::no_revision(format!("{repository} has no commit {name}"), hint));
    }
    let subject = subject(app, repository, name).await?;
    revision_of(app, repository, &subject).await
}

/// The revision of `repository` that shows `subject`, made now if need be.
pub(crate) async fn revision_of(app: &App, repository: &Repository, subject: &Subject) -> Result<Revision, HubError> {
    let key = subject.key();
    if let Some(revision) = app.db.hub_revision(&repository.to_string(), &key).await? {
        return Ok(revision);
    }
    // Those that are measured by then: a revision never changes, and a tag never moves.
    let around = around(app, subject).await?;
    let Contents { files, card, at } = contents::of(app, repository, subject, around).await?;
    let mut stored = Vec::new();
    let mut objects = Vec::new();
    for file in files {
        let (file, object) = file.store(app).await?;
        objects.extend(object);
        stored.push(file);
    }
    stored.sort_by(|a, b| a.path.cmp(&b.path));
    let commit = contents::commit_id(repository, &stored);
    let new = Revision { repository: repository.to_string(), subject: key.clone(), commit, files: stored, card, at };
    write(app, &new, &objects).await?;
    // Two that came at once read what the first one wrote.
    let written = app.db.hub_revision(&new.repository, &key).await?;
    Ok(written.unwrap_or(new))
}

/// What a submission is shown with: other forms of its model once all of them were measured, as if there were none before, and
/// the very revision of the data that it was measured on, which is made first.
async fn around(app: &App, subject: &Subject) -> Result<Around, HubError> {
    let Subject::Submission(submission) = subject else { return Ok(Around::default()) };
    let ended = app.db.forms(submission).await?;
    let all = ended.len() == ModelForm::ALL.len();
    let forms = ended.into_iter().filter(|_| all).filter_map(|form| form.made).collect();
    let evaluation = app.db.evaluation(submission).await?;
    let competition = evaluation.ok_or_else(|| contents::unscored(submission))?.competition;
    let (data, shown) = (Repository::Data(competition.clone()), Subject::Data(competition));
    let data_commit = Box::pin(revision_of(app, &data, &shown)).await?.commit;
    Ok(Around { forms, data_commit })
}

async fn write(app: &App, new: &Revision, objects: &[PublicObject]) -> Result<(), HubError> {
    let mut tx = app.db.write().await?;
    hub::insert(&mut tx, new).await?;
    for object in objects {
        publish_object(&mut tx, object).await?;
    }
    // Cut off before this, it is made again, byte for byte.
    Ok(failpoints::commit(tx, Change::HubRevision).await?)
}

/// Whether there is anything behind a name.
pub(crate) async fn check_exists(app: &App, repository: &Repository) -> Result<(), HubError> {
    let exists = match repository {
        Repository::Champion(competition) | Repository::Data(competition) => {
            app.db.competition(competition).await?.is_some()
        }
        Repository::Teacher(competition) => {
            let stored = app.db.competition(competition).await?;
            stored.is_some_and(|stored| stored.competition.teacher.model().is_some())
        }
        // Whatever isn't scored is nobody's but its owner's.
        Repository::Submission(submission) => app.db.evaluation(submission).await?.is_some(),
    };
    let missing = || HubError::no_repository(format!("there is no repository {repository}"));
    if exists { Ok(()) } else { Err(missing()) }
}

async fn subject(app: &App, repository: &Repository, name: &str) -> Result<Subject, HubError> {
    // git's name for where it stands, which has no other branch to stand at.
    let name = if name == HEAD { MAIN } else { name.strip_prefix("refs/heads/").unwrap_or(name) };
    match repository {
        Repository::Champion(competition) if name == MAIN => champion(app, competition).await,
        Repository::Champion(competition) => {
            let name = name.strip_prefix("refs/tags/").unwrap_or(name);
            after_round(app, competition, name).await
        }
        Repository::Teacher(competition) if name == MAIN => Ok(Subject::Teacher(competition.clone())),
        Repository::Data(competition) if name == MAIN => Ok(Subject::Data(competition.clone())),
        Repository::Submission(submission) if name == MAIN => Ok(Subject::Submission(submission.clone())),
        _ => Err(HubError::no_revision(format!("{repository} has no revision {}", shown(name)), "It has main only.")),
    }
}

async fn champion(app: &App, competition: &CompetitionId) -> Result<Subject, HubError> {
    let vacant = || {
        let hint = "main appears once a round with a champion is revealed; until then teachers/<competition> \
                    and datasets/arena/<competition> are there to make one.";
        HubError::vacant(format!("{competition} has no champion yet, so arena/{competition} is empty"), hint)
    };
    board::first(app, competition).await?.map(Subject::Submission).ok_or_else(vacant)
}

async fn after_round(app: &App, competition: &CompetitionId, name: &str) -> Result<Subject, HubError> {
    let hint = "Use main, round-N for a judged round N, or a commit id; `refs` lists them.";
    let unknown = |why: &str| HubError::no_revision(format!("arena/{competition} has no {}{why}", shown(name)), hint);
    let number = name.strip_prefix(ROUND).and_then(|number| number.parse().ok()).ok_or_else(|| unknown(""))?;
    let round = app.db.round(competition, number).await?.ok_or_else(|| unknown(""))?;
    // `round-01` would be a second name for the same thing.
    let tag = tag(&round).filter(|tag| tag.name == name);
    let why = match round.step {
        Step::Abandoned => ": the round was abandoned",
        step if step < Step::Judged => ": the round isn't judged yet",
        _ => "",
    };
    tag.map(|tag| Subject::Submission(tag.champion)).ok_or_else(|| unknown(why))
}

/// The tags of a repository, oldest first.
pub(crate) async fn tags(app: &App, repository: &Repository) -> Result<Vec<Tag>, HubError> {
    let Repository::Champion(competition) = repository else { return Ok(Vec::new()) };
    let mut tags: Vec<Tag> = app.db.rounds(competition).await?.iter().filter_map(tag).collect();
    tags.reverse();
    Ok(tags)
}

/// A judged round's tag; none while the seat is empty.
fn tag(round: &Round) -> Option<Tag> {
    let champion = round.record.champion.clone().filter(|_| round.step >= Step::Judged)?;
    Some(Tag { name: format!("{ROUND}{}", round.number), champion, at: round.closes_at.unwrap_or(round.opened_at) })
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Whether the revision that a client built upon is the one that `main` is at: what a commit's parent asks.
pub(crate) async fn check_parent(app: &App, competition: &CompetitionId, parent: &str) -> Result<(), HubError> {
    let repository = Repository::Champion(competition.clone());
    let main = match subject(app, &repository, MAIN).await {
        Ok(subject) => Some(revision_of(app, &repository, &subject).await?.commit),
        Err(_) => None,
    };
    if main.as_deref().is_some_and(|main| parent.len() >= 7 && main.starts_with(parent)) {
        return Ok(());
    }
    let detail = format!("the parent commit is {}, main is at {}", shown(parent), main.as_deref().unwrap_or("nothing"));
    let hint = "Leave the parent out: a submission doesn't build upon the champion.";
    Err(ApiError::new(http::StatusCode::PRECONDITION_FAILED, "stale_parent", detail, hint).into())
}
