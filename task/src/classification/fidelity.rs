//! Closeness to the teacher: the same answers, and divergences between the two distributions over the classes.
//!
//! KL(T||S) = sum p_T (ln p_T - ln p_S); JS = (KL(T||M) + KL(S||M)) / 2 with M = (T + S) / 2, at most ln 2 (Lin 1991).

use super::{arg_max, log_softmax, micro};
use protocol::report::Fidelity;

/// Compares `student` with `teacher`, both `[items, classes]`.
pub fn fidelity(student: &[f32], teacher: &[f32], classes: usize) -> Fidelity {
    let mut agreement = 0;
    let (mut kl, mut js) = (Vec::new(), Vec::new());
    for (student, teacher) in student.chunks_exact(classes).zip(teacher.chunks_exact(classes)) {
        agreement += u32::from(arg_max(student) == arg_max(teacher));
        let (student, teacher) = (log_softmax(student), log_softmax(teacher));
        kl.push(divergence(&teacher, &student));
        js.push(jensen_shannon(&teacher, &student));
    }
    Fidelity {
        agreement,
        kl_micronats: micro(mean(&kl)),
        js_micronats: micro(mean(&js)),
        js_micronats_se: micro(standard_error(&js)),
    }
}

/// The Jensen-Shannon divergence of each item, millionths of a nat.
pub fn divergences(student: &[f32], teacher: &[f32], classes: usize) -> Vec<u32> {
    let items = student.chunks_exact(classes).zip(teacher.chunks_exact(classes));
    items.map(|(s, t)| micro(jensen_shannon(&log_softmax(t), &log_softmax(s))) as u32).collect()
}

/// What a teacher is to itself.
pub fn perfect_fidelity(items: u32) -> Fidelity {
    Fidelity { agreement: items, ..Fidelity::default() }
}

/// KL(P||Q) of two distributions given as logarithms.
fn divergence(ln_p: &[f64], ln_q: &[f64]) -> f64 {
    ln_p.iter().zip(ln_q).map(|(p, q)| libm::exp(*p) * (p - q)).sum()
}

fn jensen_shannon(ln_p: &[f64], ln_q: &[f64]) -> f64 {
    let ln_mean: Vec<f64> = ln_p.iter().zip(ln_q).map(|(p, q)| ln_mean_exp(*p, *q)).collect();
    f64::midpoint(divergence(ln_p, &ln_mean), divergence(ln_q, &ln_mean))
}

/// ln((e^a + e^b) / 2) without underflow.
fn ln_mean_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    high + libm::log1p(libm::exp(low - high)) - std::f64::consts::LN_2
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
}

/// Sample deviation over the root of n; 0 of fewer than two.
fn standard_error(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    if n < 2.0 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    libm::sqrt(squares / (n - 1.0) / n)
}
