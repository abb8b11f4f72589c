//! The pages' addresses: finds what a page shows and sends it with the headers that a browser should obey.
//!
//! It does not know what a page looks like.

use super::query::BoardQuery;
use super::{assets, competition, copies, docs, home, miner, operator as operator_page, problem, round, submission};
use crate::api::Description;
use crate::face::Face;
use crate::face::pages::Made;
use crate::operator;
use crate::rooted::below;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use edge::conditional::answer;
use edge::error::ApiError;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use protocol::api::{CompetitionView, Problem, SubmissionStatus};
use protocol::package::README_FILE;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use service::app::App;
use service::state::board::Served;
use service::{board, rounds, views};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, OnceLock};
use store::db::DbError;
use store::db::competitions::Role;
use store::db::lists::ListFilter;
use store::ready::Ready;

/// Pages hold no inline script, no inline style, no form and nothing from elsewhere. Their one script asks us alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                           img-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A year: the address of such a thing changes with its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Events of the first page.
const LATELY_MAX: u32 = 8;
/// Characters of a README.md that its submission's page shows; the file has all.
const README_CHARS_MAX: usize = 20_000;
/// Submissions of a miner's page.
const MINER_ROWS_MAX: u32 = 50;

/// The routes of all pages but pictures.
pub fn routes() -> Router<Face> {
    Router::new()
        .route("/", get(home))
        .route("/api", get(docs))
        .route("/competitions/{id}", get(competition))
        .route("/competitions/{id}/rounds/{round}", get(round))
        .route("/submissions/{id}", get(submission))
        .route("/miners/{hotkey}", get(miner))
        .route("/operator", get(operator))
        .route("/copies/{a}/{b}", get(pair))
        .route("/assets/style.css", get(style))
        .route("/assets/script.js", get(script))
        .route("/assets/fonts/{name}", get(font))
        .route("/assets/icon.svg", get(icon))
}

/// Why there is no page.
pub(crate) enum PageError {
    /// Nothing is at this address.
    Missing(String),
    /// The address asks for something that there isn't.
    Asked(String),
    /// Our fault; the API's answer says all there is to say.
    Broken(ApiError),
}

async fn home(State(face): State<Face>, State(app): State<App>, headers: HeaderMap) -> Result<Response, PageError> {
    let make = async || -> Result<Made, PageError> {
        let (mut competitions, mut until) = (Vec::new(), u64::MAX);
        for view in views::competitions(&app).await? {
            until = until.min(changes_at(&app, &view));
            if let Some(served) = board::leaderboard(&app, &view.competition.manifest.id).await? {
                competitions.push((view, served));
            }
        }
        let pairs: Vec<_> = competitions.iter().map(|(view, served)| (view, &served.leaderboard)).collect();
        let mut lately = app.db.latest(LATELY_MAX).await?;
        lately.retain(|event| pairs.iter().any(|(view, _)| view.competition.manifest.id == event.competition));
        Ok(Made { text: home::render(&pairs, &lately, app.clock.now()), until })
    };
    Ok(answer(&face.pages.page(&app, "/", make).await?.ready, PAGE_HEADERS, &headers))
}

async fn competition(
    State(face): State<Face>,
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let query = BoardQuery::parse(query.as_deref().unwrap_or_default()).map_err(PageError::Asked)?;
    let id: CompetitionId = parse("competition", &id)?;
    let make = async || -> Result<Made, PageError> {
        let (view, served) = find(&app, &id).await?;
        let round = app.db.latest_round(&id).await?.map(|round| round.number);
        let reigns = views::reigns(&app, &id).await?;
        let text = competition::render(&competition::Sources {
            view: &view,
            board: &served.leaderboard,
            round,
            reigns: &reigns,
            query: &query,
            endpoint: &app.endpoint(),
            now: app.clock.now(),
        });
        // What can't be read now can be read in a moment.
        let until = if served.complete { changes_at(&app, &view) } else { 0 };
        Ok(Made { text, until })
    };
    let key = format!("/competitions/{id}?{}", query.canonical());
    Ok(answer(&face.pages.page(&app, &key, make).await?.ready, PAGE_HEADERS, &headers))
}

/// When a competition's page changes although nothing happens: when it closes. Reigns grow a day longer meanwhile.
fn changes_at(app: &App, view: &CompetitionView) -> u64 {
    let now = app.clock.now();
    let closes_at = view.manifest(0).closes_at.filter(|closes_at| *closes_at > now);
    closes_at.unwrap_or(u64::MAX).min(now.saturating_add(3_600))
}

async fn round(State(app): State<App>, Path((id, number)): Path<(String, String)>) -> Result<Response, PageError> {
    let id: CompetitionId = parse("competition", &id)?;
    let missing = || PageError::Missing(format!("{id} has no such round."));
    let view = views::competition(&app, &id).await?.ok_or_else(missing)?;
    let number = number.parse().map_err(|_| missing())?;
    let found = rounds::view(&app.db, &id, number).await?.ok_or_else(missing)?;
    Ok(page(round::render(&found, &view, &app.endpoint())))
}

async fn submission(State(app): State<App>, Path(id): Path<String>) -> Result<Response, PageError> {
    let id = parse("submission", &id)?;
    let (status, view) = find_submission(&app, &id).await?;
    let models = app.db.models(&status.competition).await?;
    let (readme, samples) = (readme(&app, &status).await, samples(&app, &status).await);
    let sources = submission::Sources {
        status: &status,
        view: &view,
        teacher: models.iter().find(|model| model.role == Role::Teacher).map(|model| &model.report),
        pairs: &service::copies::relations(&app, &id).await?,
        copies: &service::copies::found_copies(&app.db, &status.competition).await?,
        entries: &app.db.entry_pairs_of(&id).await?,
        events: &app.db.events(&id).await?,
        appeals: &service::appeals::of(&app.db, &id).await?,
        readme: readme.as_deref(),
        samples: samples.as_deref(),
        endpoint: &app.endpoint(),
    };
    Ok(page(submission::render(&sources)))
}

/// What its miner says about it, as far as a page shows it. A page without is better than none.
async fn readme(app: &App, status: &SubmissionStatus) -> Option<String> {
    if status.state != protocol::submission::State::Scored || status.withheld_until_round.is_some() {
        return None;
    }
    let file = status.files.iter().find(|file| file.path == README_FILE)?;
    let bytes = app.objects.get(&file.sha256).await.ok()?;
    let shown: String = String::from_utf8_lossy(&bytes).chars().take(README_CHARS_MAX).collect();
    Some(shown)
}

/// The raw samples of its latency. A page without their picture is better than none.
async fn samples(app: &App, status: &SubmissionStatus) -> Option<bytes::Bytes> {
    let sha256 = status.report.as_ref()?.latency.samples_sha256?;
    let object = app.db.public_object(&sha256).await.ok()??;
    if object.size_bytes > super::histogram::SAMPLES_BYTES_MAX {
        return None;
    }
    app.objects.get(&sha256).await.ok()
}

pub(super) async fn find_submission(
    app: &App,
    id: &SubmissionId,
) -> Result<(SubmissionStatus, CompetitionView), PageError> {
    let missing = || PageError::Missing(format!("No submission is called {id}."));
    let status = views::submission(app, id).await?.ok_or_else(missing)?;
    let view = views::competition(app, &status.competition).await?.ok_or_else(missing)?;
    Ok((status, view))
}

async fn miner(
    State(app): State<App>,
    Path(hotkey): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let hotkey: Hotkey = parse("miner", &hotkey)?;
    let before = before(query.as_deref().unwrap_or_default())?;
    let missing = || PageError::Missing(format!("{hotkey} has entered nothing here."));
    let view = views::miner(&app, &hotkey).await?.ok_or_else(missing)?;
    let filter = ListFilter { hotkey: Some(hotkey), ..ListFilter::default() };
    let listed = views::submissions(&app, &filter, before, MINER_ROWS_MAX).await?;
    let next = listed.last().filter(|_| listed.len() == MINER_ROWS_MAX as usize).map(|last| last.arrival);
    Ok(page(miner::render(&view, &listed, next)))
}

/// Where a list goes on. What others append to a link that is shared means nothing.
fn before(query: &str) -> Result<Option<u64>, PageError> {
    let wrong = |_| PageError::Asked("A miner's page takes `before` and the number that a link names.".into());
    let number = query.split('&').find_map(|pair| pair.strip_prefix("before="));
    number.map(str::parse).transpose().map_err(wrong)
}

async fn pair(State(app): State<App>, Path((a, b)): Path<(String, String)>) -> Result<Response, PageError> {
    let (a, b) = (parse("submission", &a)?, parse("submission", &b)?);
    let pair = service::copies::pair(&app, &a, &b).await.map_err(|error| PageError::Broken(error.into()))?;
    let missing = || PageError::Missing("No such two submissions of one competition have been compared.".into());
    Ok(page(copies::render(&pair.ok_or_else(missing)?, &app.endpoint())))
}

/// A browser can't send a token by itself: without one it gets a page whose script asks again with the token that the
/// operator's link brought.
async fn operator(State(app): State<App>, headers: HeaderMap) -> Result<Response, PageError> {
    let mut response = match operator::admit(&app, &headers) {
        Ok(()) => page(operator_page::render(&operator::view(&app).await?, &app.config.dir_option())),
        Err(_) => (StatusCode::FORBIDDEN, page(operator_page::locked())).into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn docs(Extension(Description(description)): Extension<Description>, headers: HeaderMap) -> Response {
    static PAGE: OnceLock<Ready> = OnceLock::new();
    let page = PAGE.get_or_init(|| Ready::new(docs::page(&description.plain)));
    answer(page, PAGE_HEADERS, &headers)
}

async fn style(headers: HeaderMap) -> Response {
    static STYLE: LazyLock<Ready> = LazyLock::new(|| Ready::new(assets::STYLE));
    let fixed = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, FOR_EVER)];
    answer(&STYLE, fixed, &headers)
}

async fn script(headers: HeaderMap) -> Response {
    static SCRIPT: LazyLock<Ready> = LazyLock::new(|| Ready::new(assets::SCRIPT));
    let fixed = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, FOR_EVER)];
    answer(&SCRIPT, fixed, &headers)
}

/// The fonts never change: another version would have another name.
async fn font(Path(name): Path<String>) -> Result<Response, PageError> {
    let found = assets::FONTS.iter().find(|(known, _)| *known == name);
    let (_, bytes) = found.ok_or_else(|| PageError::Missing("There is no such font.".into()))?;
    Ok(([(header::CONTENT_TYPE, "font/woff2"), (header::CACHE_CONTROL, FOR_EVER)], *bytes).into_response())
}

async fn icon() -> Response {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, assets::ICON).into_response()
}

pub(super) async fn find(app: &App, id: &CompetitionId) -> Result<(CompetitionView, Arc<Served>), PageError> {
    let missing = || PageError::Missing(format!("No competition is called {id}."));
    let view = views::competition(app, id).await?.ok_or_else(missing)?;
    let served = board::leaderboard(app, id).await?.ok_or_else(missing)?;
    Ok((view, served))
}

/// A name that can't be one is not there.
pub(super) fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, PageError> {
    let shown: String = text.chars().take(64).collect();
    text.parse().map_err(|_| PageError::Missing(format!("No {what} is called {shown}.")))
}

const PAGE_HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
];

fn page(html: String) -> Response {
    (PAGE_HEADERS, html).into_response()
}

/// The page of a problem document, with its links below `root`.
pub fn of_problem(status: StatusCode, problem: Option<&Problem>, root: Option<&str>) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => "Nothing is here",
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "Too busy at the moment",
        status if status.is_server_error() => "This went wrong",
        _ => "That can't be answered",
    };
    let mut letters = problem.map(|it| it.detail.as_str()).unwrap_or_default().chars();
    let detail = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>();
    let hint = problem.map(|it| it.hint.as_str()).unwrap_or_default();
    let html = problem::render(status.as_u16(), title, &format!("{detail}. {hint}"));
    page(root.map_or_else(|| html.clone(), |root| below(&html, root)))
}

impl From<DbError> for PageError {
    fn from(error: DbError) -> Self {
        Self::Broken(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let answer = |status: StatusCode, title, detail: &str| {
            (status, page(problem::render(status.as_u16(), title, detail))).into_response()
        };
        match self {
            Self::Missing(detail) => answer(StatusCode::NOT_FOUND, "Nothing is here", &detail),
            Self::Asked(detail) => answer(StatusCode::BAD_REQUEST, "That can't be answered", &detail),
            Self::Broken(error) => error.into_response(),
        }
    }
}
