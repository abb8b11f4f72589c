//! What is told of a submission: where it is, why, and what to do.

use super::super::when;
use crate::table::in_room;
use protocol::api::{AppealAnswer, AppealView, BoardRow, Reason, SubmissionStatus};
use protocol::submission::{Blame, Code, State};
use validator::why::{Topic, WhyView};

/// The units of what is told, and which way is better.
const FIGURES: &str = "a point is a hundredth of the score, of which more is better; (+) and (-) say how many of them a part of the score gives \
                       or costs whoever is ahead, so that a faster model has a + for latency; [ ] holds a figure in 95 of 100 cases";

/// A submission's story, a line for each fact.
pub(super) fn told(why: &WhyView) -> String {
    let mut text = format!("{} in {}: {}", why.submission, why.competition, why.state);
    for fact in &why.facts {
        let round = fact.round.map_or(String::new(), |round| format!("round {round}: "));
        text.push_str(&format!("\n  {:14} {round}{}", label(fact.topic), fact.sentence));
    }
    if why.facts.iter().any(|fact| fact.sentence.contains(" points ")) {
        text.push_str(&format!("\n{}", in_room(FIGURES, 2)));
    }
    if let Some(reason) = &why.reason {
        text.push_str(&format!("\n{}", advice(reason)));
    }
    why.appeals.iter().for_each(|appeal| text.push_str(&format!("\n{}", quoted(appeal))));
    text
}

/// What a fact is about, in a column of its own.
fn label(topic: Topic) -> &'static str {
    match topic {
        Topic::Admission => "admission",
        Topic::Measurement => "measured",
        Topic::Gate => "accuracy gate",
        Topic::Copies => "likeness",
        Topic::Rank => "rank",
        Topic::Round => "in a round",
        Topic::Pay => "reward",
        Topic::Weights => "download",
    }
}

/// Whose fault it was, where it was anybody's, and what to do.
fn advice(Reason { code, blame, hint, .. }: &Reason) -> String {
    match blame {
        _ if *code == Code::Disqualified => hint.clone(),
        Blame::Miner => format!("it is its miner's to mend: {hint}"),
        Blame::Validator => format!("it is the validator's fault: {hint}"),
        Blame::Nobody => hint.clone(),
    }
}

/// An appeal with its answer.
pub(super) fn quoted(appeal: &AppealView) -> String {
    let AppealView { number, text, at, answer } = appeal;
    let answer = match answer {
        Some(AppealAnswer { text, at }) => format!("answered {}: {text}", when(*at)),
        None => "not answered yet".into(),
    };
    format!("appeal {number} of {}: {text}\n  {answer}", when(*at))
}

/// Whether a copy may still lose its rank. A validator that doesn't say so isn't waited for.
pub(super) fn is_being_compared(status: &SubmissionStatus) -> bool {
    status.state == State::Scored && status.compared == Some(false)
}

/// A submission, as far as it is.
pub(super) fn describe(status: &SubmissionStatus) -> String {
    let name = status.name.as_ref().map_or_else(String::new, |name| format!("{name} ("));
    let end = if name.is_empty() { "" } else { ")" };
    let mut text = format!("{name}{}{end} in {}: {}", status.id, status.competition, status.state);
    if let Some(reason) = &status.reason {
        // Some ends have no other reason than themselves.
        let code = Some(reason.code.to_string()).filter(|code| code != status.state.as_str());
        let code = code.map_or_else(String::new, |code| format!("{code}: "));
        text.push_str(&format!("\n{code}{}\n{}", reason.detail, advice(reason)));
    }
    if let (Some(position), Some(eta)) = (status.queue_position, status.eta_seconds) {
        text.push_str(&format!(", {position} before it, about {eta} s left"));
    }
    text.extend(graph_told(status).map(|told| format!("\n{told}")));
    let rank = status.row.as_ref().and_then(BoardRow::rank_label).or(status.rank.map(|rank| rank.to_string()));
    if let (Some(rank), Some(score)) = (rank, &status.score) {
        text.push_str(&format!(
            "\nrank {rank}, score {:.4}, accuracy {:.2} %",
            score.composite.value_ppm as f64 / 1e6,
            score.accuracy.value_ppm as f64 / 1e4
        ));
    }
    if is_being_compared(status) {
        text.push_str("\nnot compared with everybody's entries yet: one that turns out to be a copy loses its rank");
    }
    if let Some(row) = &status.row {
        std::iter::once(&row.why).chain(&row.details).for_each(|sentence| text.push_str(&format!("\n{sentence}")));
    }
    text
}

/// What an ONNX graph is, once admitted.
pub(crate) fn graph_told(status: &SubmissionStatus) -> Option<String> {
    let graph = status.architecture.as_ref()?.graph()?;
    let costs = status.costs.as_ref()?;
    Some(format!("onnx: {} parameters, {} MACs; {}", costs.parameters, costs.macs, graph.operators_told()))
}

#[cfg(test)]
mod tests {
    use super::super::follow::waiting;
    use super::*;
    use protocol::auth::Keypair;
    use serde_json::json;

    fn status(state: State, reason: Option<&Reason>) -> SubmissionStatus {
        let status = json!({
            "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "competition": "digits", "hotkey": Keypair::from_seed(&[1; 32]).hotkey(),
            "state": state, "reason": reason, "queue_position": null, "eta_seconds": null, "created_at": 1, "changed_at": 1,
            "architecture": null, "costs": null, "files": [], "report": null, "score": null, "rank": null, "receipt": null,
            "receipt_log_index": null, "row": null,
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn an_end_is_told_once_and_blames_only_whose_fault_it_is() {
        let withdrawn: Reason = Code::Withdrawn.because("its miner took it back".into()).into();
        let told = describe(&status(State::Withdrawn, Some(&withdrawn)));
        assert_eq!(told.matches("withdrawn").count(), 1, "{told}");
        assert!(told.contains("\nits miner took it back\nYou took it back yourself"), "{told}");
        let rejected: Reason = Code::FileMissing.because("README.md is empty".into()).into();
        let told = describe(&status(State::Rejected, Some(&rejected)));
        assert!(told.contains("\nfile_missing: README.md is empty\nit is its miner's to mend: "), "{told}");
    }

    #[test]
    fn a_story_says_what_each_line_is_about_and_what_its_units_are() {
        let story = |topic: &str, sentence: &str| {
            let fact = json!({"topic": topic, "round": null, "sentence": sentence, "link": null});
            let why = json!({
                "submission": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "competition": "digits", "state": "scored", "reason": null,
                "hotkey": Keypair::from_seed(&[1; 32]).hotkey(), "facts": [fact], "appeals": [],
            });
            told(&serde_json::from_value(why).unwrap())
        };
        let of_gate = story("gate", "80.42 % of public items right");
        assert!(of_gate.contains("\n  accuracy gate  80.42 %") && !of_gate.contains("a point is"), "{of_gate}");
        let of_rank = story("rank", "1.10 points behind the best");
        assert!(of_rank.contains("\n  rank           1.10") && of_rank.contains("a point is a hundredth"), "{of_rank}");
    }

    #[test]
    fn who_waits_is_told_for_what() {
        let queued = |before| SubmissionStatus { queue_position: before, ..status(State::Queued, None) };
        assert_eq!(waiting(&queued(Some(2))), "it waits for its turn: 2 before it");
        assert_eq!(waiting(&queued(Some(0))), "it is next, and waits for the machine");
        assert_eq!(waiting(&status(State::Evaluating, None)), "it is measured");
        let scored = |compared| SubmissionStatus { compared, ..status(State::Scored, None) };
        assert_eq!(waiting(&scored(Some(false))), "it is compared with everybody's entries");
        assert!(describe(&scored(Some(false))).contains("not compared with everybody's entries yet"));
        for settled in [None, Some(true)] {
            assert!(!describe(&scored(settled)).contains("compared"), "an earlier validator doesn't say it");
        }
    }
}
