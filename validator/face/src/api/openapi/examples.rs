//! Examples of what is sent and received, by type. Each is read as its type when the document is put together, so that it
//! has the fields that the type has and no others.
//!
//! It does NOT know where a type is sent: wherever it is and nothing else is shown, its example stands.

use datasets::hidden::RoundView;
use protocol::api::{
    CompetitionView, Leaderboard, MinerView, Problem, SubmissionCreated, SubmissionRequest, SubmissionStatus,
    SubmissionSummary, TokenCreated, TokenRequest, TokenView,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service::copies::{EntriesView, PairView};
use std::collections::BTreeMap;
use store::db::feed::FeedEvent;
use utoipa::ToSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::{Content, RefOr};

/// Examples by the names of their types in the document.
pub(super) struct Examples(BTreeMap<String, Value>);

impl Examples {
    /// All that there are.
    pub(super) fn all() -> Self {
        let mut all = Self(BTreeMap::new());
        all.add::<CompetitionView>(include_str!("examples/competition_view.json"));
        all.add::<Leaderboard>(include_str!("examples/leaderboard.json"));
        all.add::<RoundView>(include_str!("examples/round.json"));
        all.add::<SubmissionRequest>(include_str!("examples/submission_request.json"));
        all.add::<SubmissionCreated>(include_str!("examples/submission_created.json"));
        all.add::<SubmissionSummary>(include_str!("examples/submission_summary.json"));
        all.add::<SubmissionStatus>(include_str!("examples/submission_status.json"));
        all.add::<MinerView>(include_str!("examples/miner_view.json"));
        all.add::<FeedEvent>(include_str!("examples/event.json"));
        all.add::<PairView>(include_str!("examples/copies.json"));
        all.add::<EntriesView>(include_str!("examples/entries.json"));
        all.add::<TokenRequest>(include_str!("examples/token_request.json"));
        all.add::<TokenView>(include_str!("examples/token.json"));
        all.add::<TokenCreated>(include_str!("examples/token_created.json"));
        // Types that are only written, or only read, can't be tried here; a test holds these against their schemas.
        all.0.insert("Webhook".to_owned(), parsed(include_str!("examples/webhook.json")));
        all.0.insert("WebhookRequest".to_owned(), parsed(include_str!("examples/webhook_request.json")));
        all.0.extend(parsed::<BTreeMap<String, Value>>(hub::EXAMPLES));
        all
    }

    /// Adds a type's example.
    fn add<T: ToSchema + Serialize + DeserializeOwned>(&mut self, json: &str) {
        let written = serde_json::to_value(parsed::<T>(json)).expect("JSON, because it was");
        self.0.insert(T::name().into_owned(), written);
    }

    /// Shows what an operation takes and answers, where it doesn't itself.
    pub(super) fn put(&self, operation: &mut Operation) {
        let responses = operation.responses.responses.values_mut().filter_map(|response| match response {
            RefOr::T(response) => Some(response.content.values_mut()),
            RefOr::Ref(_) => None,
        });
        let body = operation.request_body.iter_mut().map(|body| body.content.values_mut());
        for content in responses.flatten().chain(body.flatten()) {
            if content.example.is_none() {
                content.example = self.of(content);
            }
        }
    }

    fn of(&self, content: &Content) -> Option<Value> {
        match content.schema.as_ref()? {
            RefOr::Ref(reference) => self.named(&reference.ref_location),
            RefOr::T(Schema::Array(array)) => match &array.items {
                ArrayItems::RefOrSchema(items) => match &**items {
                    RefOr::Ref(reference) => self.named(&reference.ref_location).map(|example| json!([example])),
                    RefOr::T(_) => None,
                },
                ArrayItems::False => None,
            },
            RefOr::T(_) => None,
        }
    }

    fn named(&self, reference: &str) -> Option<Value> {
        self.0.get(reference.rsplit('/').next()?).cloned()
    }
}

/// A problem, as any address may answer it.
pub(super) fn problem() -> Value {
    let problem: Problem = parsed(include_str!("examples/problem.json"));
    serde_json::to_value(problem).expect("JSON, because it was")
}

fn parsed<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("an example of its type, because a test reads all of them")
}

/// The beginning of a stream of events.
pub(in crate::api) fn stream() -> String {
    let event: Value = parsed(include_str!("examples/event.json"));
    format!(
        "retry: 2000\nid: 6\nevent: hello\ndata: {{\"id\":6}}\n\nid: {}\nevent: {}\ndata: {event}\n\n",
        event["id"],
        event["kind"].as_str().unwrap_or_default()
    )
}

/// A webhook as its owner is told of it, once with the key.
pub(in crate::api) fn new_webhook() -> Value {
    let mut webhook: Value = parsed(include_str!("examples/webhook.json"));
    webhook["confirmed_at"] = Value::Null;
    webhook["secret"] = json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    webhook
}
