//! Evidence in Markdown: the null, and rows of recall.

use copies::{Evidence, Relation, Thresholds, Tier, relation};
use protocol::nulls::Nulls;
use std::collections::BTreeMap;

/// A group of comparisons that the table shows in one row.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) evidence: Vec<Evidence>,
}

impl Row {
    pub(crate) fn head() {
        println!("| pairs | n | s_w | rc | rc fresh | T0 | T1 | T2 | function | T3+T4 | one alone | called a copy |");
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    }

    pub(crate) fn print(&self, thresholds: &Thresholds) {
        let relations: Vec<Relation> = self.evidence.iter().map(|e| relation(e, thresholds)).collect();
        let count = |wanted: &dyn Fn(&Relation) -> bool| relations.iter().filter(|r| wanted(r)).count();
        let tier = |tier: Tier| count(&|r| *r == Relation::Copy(tier));
        let copies = count(&|r| matches!(r, Relation::Copy(_)));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} % |",
            self.name,
            relations.len(),
            range(self.evidence.iter().map(|e| e.weight_match_ppm)),
            range(self.evidence.iter().map(|e| e.residual_correlation_ppm)),
            range(self.evidence.iter().map(|e| e.fresh_residual_correlation_ppm)),
            tier(Tier::Bytes),
            tier(Tier::Canonical),
            tier(Tier::Symmetric),
            tier(Tier::Function),
            tier(Tier::MatchedAndCorrelated),
            count(&|r| matches!(r, Relation::Suspicion(_))),
            100.0 * copies as f64 / relations.len().max(1) as f64
        );
    }
}

/// Honest pairs, by the families and widths of the two.
#[derive(Default)]
pub(crate) struct Null(BTreeMap<(String, String), Vec<(Evidence, bool)>>);

impl Null {
    /// Takes up a pair of two students, each by its family and its name, `independent-WIDTH-SEED`.
    pub(crate) fn add(&mut self, [(a, first), (b, second)]: [(&str, &str); 2], evidence: Evidence, stated: &Nulls) {
        let width = |name: &str| name.split('-').nth(1).unwrap_or_default().to_owned();
        let [first, second] = [first, second].map(width);
        let key = match (a == b, first == second) {
            (true, true) => (a.to_owned(), format!("width {first}")),
            (true, false) => (a.to_owned(), "across widths".to_owned()),
            (false, _) => ("across families".to_owned(), String::new()),
        };
        let flagged = relation(&evidence, &Thresholds::between(Some(stated), a, b)) != Relation::Independent;
        self.0.entry(key).or_default().push((evidence, flagged));
    }

    pub(crate) fn print(&self) {
        println!("| honest pairs | n | s_w | rc | rc fresh | flagged |");
        println!("|---|---|---|---|---|---|");
        for ((family, which), pairs) in &self.0 {
            println!(
                "| {family} {which} | {} | {} | {} | {} | {} |",
                pairs.len(),
                range(pairs.iter().map(|(e, _)| e.weight_match_ppm)),
                range(pairs.iter().map(|(e, _)| e.residual_correlation_ppm)),
                range(pairs.iter().map(|(e, _)| e.fresh_residual_correlation_ppm)),
                pairs.iter().filter(|(_, flagged)| *flagged).count()
            );
        }
        let total: usize = self.0.values().map(Vec::len).sum();
        println!("\n{total} honest pairs");
        let families: std::collections::BTreeSet<&String> = self.0.keys().map(|(family, _)| family).collect();
        for family in families {
            let pairs = || self.0.iter().filter(move |((of, _), _)| of == family).flat_map(|(_, pairs)| pairs);
            let most = |of: fn(&Evidence) -> Option<i32>| pairs().filter_map(|(e, _)| of(e)).max();
            println!(
                "{family}: s_w at most {:?}, rc at most {:?}, fresh {:?} ppm",
                most(|e| e.weight_match_ppm),
                most(|e| e.residual_correlation_ppm),
                most(|e| e.fresh_residual_correlation_ppm)
            );
        }
    }
}

pub(crate) fn range(values: impl Iterator<Item = Option<i32>>) -> String {
    let values: Vec<i32> = values.flatten().collect();
    match (values.iter().min(), values.iter().max()) {
        (Some(min), Some(max)) => format!("{} .. {}", decimal(*min), decimal(*max)),
        _ => "-".into(),
    }
}

pub(crate) fn decimal(ppm: i32) -> String {
    format!("{:.3}", f64::from(ppm) / 1e6)
}
