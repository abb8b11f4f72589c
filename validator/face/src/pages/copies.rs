//! A pair's page: what two submissions have in common, what the rules make of it, and how to check it.

use super::figures;
use super::layout::{self, Layout};
use ::copies::{LayerEvidence, Relation, Signal, Tier};
use askama::Template;
use service::copies::PairView;

#[derive(Template)]
#[template(path = "copies.html")]
struct Page<'a> {
    layout: Layout,
    pair: &'a PairView,
    endpoint: &'a str,
    headline: &'static str,
    verdict: String,
    tests: Vec<Test>,
    layers: Vec<LayerRow<'a>>,
}

/// A layer's cosines.
struct LayerRow<'a> {
    name: &'a str,
    units: u32,
    in_place: String,
    matched: String,
}

/// One tier's finding.
struct Test {
    name: &'static str,
    what: &'static str,
    found: String,
    threshold: String,
}

/// Renders the page.
pub(crate) fn render(pair: &PairView, endpoint: &str) -> String {
    let headline = headline(&pair.relation);
    layout::render(&Page {
        layout: Layout::new(format!("{headline} · Retort"), "The evidence between two submissions."),
        pair,
        endpoint,
        headline,
        verdict: verdict(pair),
        tests: tests(pair),
        layers: pair.evidence.layers.iter().map(layer).collect(),
    })
}

fn layer(layer: &LayerEvidence) -> LayerRow<'_> {
    let cosine = |ppm: i32| figures::share(ppm.into());
    LayerRow {
        name: &layer.name,
        units: layer.units,
        in_place: cosine(layer.in_place_ppm),
        matched: layer.matched_ppm.map_or_else(String::new, cosine),
    }
}

/// The relation in a few words.
pub(super) fn headline(relation: &Relation) -> &'static str {
    match relation {
        Relation::Independent => "Independent",
        Relation::Suspicion(_) => "Alike in one respect",
        Relation::KnownStart => "The same known start",
        Relation::Copy(Tier::Bytes) => "The same package",
        Relation::Copy(Tier::Canonical) => "The same model in another encoding",
        Relation::Copy(Tier::Symmetric) => "The same model with its units reordered",
        Relation::Copy(Tier::Function) => "The same function in another shape",
        Relation::Copy(Tier::Outputs) => "The same outputs",
        Relation::Copy(Tier::MatchedAndCorrelated) => "A derived copy",
    }
}

fn verdict(pair: &PairView) -> String {
    match pair.relation {
        Relation::Independent => "Nothing beyond what independent students have in common.".into(),
        Relation::Suspicion(_) if !pair.thresholds.are_measured => "Alike, in a competition that doesn't state what honest \
             students have in common there: it has no consequences, and is shown so that people can look."
            .into(),
        Relation::Suspicion(signal) => format!(
            "{} beyond what independent students reach. One signal alone has no consequences; it is shown so that \
             people can look.",
            match signal {
                Signal::WeightMatch => "Their units match",
                Signal::ResidualCorrelation => "Their errors correlate",
            }
        ),
        Relation::KnownStart => {
            "Both begin with a package that the competition lists as known, and are no closer to each other than to it: \
             no consequences."
                .into()
        }
        Relation::Copy(_) if pair.has_consequences => {
            "The later one counts as the earlier one: it can't take the seat, and its cluster is paid once.".into()
        }
        Relation::Copy(_) if pair.hotkeys[0] == pair.hotkeys[1] => {
            "Both are of one owner, who may refine its own work: no consequences.".into()
        }
        Relation::Copy(_) => {
            "The earlier one is a copy itself, of work of the later one's owner, who may go on with it: no consequences.".into()
        }
    }
}

fn tests(pair: &PairView) -> Vec<Test> {
    let evidence = &pair.evidence;
    let yes = |same: bool| if same { "yes".to_owned() } else { "no".to_owned() };
    let signal = |value: Option<i32>| value.map_or("not comparable".into(), |ppm| figures::share(ppm.into()));
    let exact = |name, what, same| Test { name, what, found: yes(same), threshold: String::new() };
    let threshold = pair.thresholds.weight_match_ppm.filter(|_| !evidence.of_graph);
    let none = if evidence.of_graph { "graphs' units aren't matched" } else { "none for this family" };
    vec![
        exact("T0", "the same bytes", evidence.same_package),
        exact("T1", "the same unit by unit, to within an encoding and factors", evidence.same_canonical),
        exact("T2", "the same with the hidden units in another order", evidence.same_symmetric),
        Test {
            name: "T3",
            what: "mean cosine of matched units",
            found: signal(evidence.weight_match_ppm),
            threshold: threshold.map_or(none.into(), |ppm| figures::share(ppm.into())),
        },
        Test {
            name: "T4",
            what: "correlation of errors on secret probes",
            found: signal(evidence.residual_correlation_ppm),
            threshold: format!(
                "{}, with T3 {}, alone a copy from {}",
                figures::share(pair.thresholds.residual_correlation_ppm.into()),
                figures::share(pair.thresholds.residual_support_ppm.into()),
                figures::share(pair.thresholds.function_ppm.into())
            ),
        },
        Test {
            name: "T4",
            what: "correlation of errors on a round's fresh items",
            found: signal(evidence.fresh_residual_correlation_ppm),
            threshold: format!("alone a copy from {}", figures::share(pair.thresholds.fresh_function_ppm.into())),
        },
    ]
}

#[cfg(test)]
mod tests_of_the_page {
    use super::*;
    use crate::pages::sample;
    use ::copies::{Evidence, LayerEvidence, Thresholds};

    fn pair(relation: Relation) -> PairView {
        let layer =
            LayerEvidence { name: "fc.weight".into(), units: 10, in_place_ppm: 1_000, matched_ppm: Some(990_000) };
        let status = sample::status(protocol::submission::State::Scored);
        PairView {
            competition: status.competition,
            earlier: sample::id(1),
            later: sample::id(2),
            hotkeys: [status.hotkey, status.hotkey],
            families: ["mlp".into(), "mlp".into()],
            relation,
            has_consequences: matches!(relation, Relation::Copy(_)),
            thresholds: Thresholds::between(None, "mlp", "mlp"),
            evidence: Evidence {
                same_package: false,
                same_canonical: false,
                same_symmetric: false,
                weight_match_ppm: Some(990_000),
                residual_correlation_ppm: None,
                unexplained_ppm: None,
                fresh_residual_correlation_ppm: None,
                of_graph: false,
                layers: vec![layer],
            },
        }
    }

    #[test]
    fn every_relation_has_a_page_that_says_what_follows() {
        for (relation, says) in [
            (Relation::Independent, "Nothing beyond"),
            (Relation::Suspicion(Signal::WeightMatch), "no consequences"),
            (Relation::Copy(Tier::Symmetric), "counts as the earlier one"),
        ] {
            let page = render(&pair(relation), "https://validator.example");
            sample::assert_markup(&page);
            assert!(page.contains(says), "{relation:?}");
            assert!(page.contains("0.990") && page.contains("not comparable"));
        }
    }
}
