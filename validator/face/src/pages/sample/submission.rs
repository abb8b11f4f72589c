//! A submission in each of its states, and the report of one that was measured.

use super::{NOW, board, competition, hotkey, id};
use protocol::Digest;
use protocol::api::{FileDeclaration, FormView, ModelForm, Reason, SubmissionStatus};
use protocol::architecture::{Architecture, Costs, Mlp};
use protocol::competition::ObjectRef;
use protocol::report::{Calibration, Cost, DataSeen, Estimate, Fidelity, Host, Latency, Phases, Quality, Report};
use protocol::score::{Ceiling, score};
use protocol::submission::{Code, State};

/// A submission in `state`.
pub fn status(state: State) -> SubmissionStatus {
    let report = (state == State::Scored).then(report);
    let rules = competition().competition.manifest.score;
    let code = match state {
        State::Rejected => Some((Code::TensorMissing, "layer3.0.conv2.weight [64, 64, 3, 3]")),
        State::Failed => Some((Code::EvaluationCrashed, "the worker ended with signal 9, three times")),
        State::Withdrawn => Some((Code::Withdrawn, "its miner took it back")),
        State::Expired => Some((Code::UploadExpired, "model.safetensors never arrived")),
        _ => None,
    };
    let file = |path: &str, size| FileDeclaration { path: path.into(), size, sha256: Digest::of(path.as_bytes()) };
    SubmissionStatus {
        id: id(1),
        competition: "fashion-mnist-resnet18".parse().unwrap(),
        hotkey: hotkey(1),
        name: Some("small net 1".into()),
        state,
        reason: code.map(|(code, detail)| Reason::from(code.because(detail.into()))),
        queue_position: (state == State::Queued).then_some(3),
        eta_seconds: matches!(state, State::Queued | State::Evaluating).then_some(150),
        created_at: NOW - 340,
        changed_at: NOW,
        architecture: Some(Architecture::Mlp(Mlp::of(vec![128])).into()),
        costs: Some(Costs { parameters: 101_770, macs: 101_632, activation_bytes_peak: 3_648, size_bytes: 203_540 }),
        files: vec![file("config.json", 612), file("model.safetensors", 407_320), file("README.md", 1_204)],
        published: vec![file("config.json", 540), file("model.safetensors", 407_280)],
        forms: report
            .as_ref()
            .map_or(Vec::new(), |report| ModelForm::ALL.map(|form| self::form(form, report)).to_vec()),
        withheld_until_round: None,
        score: report.as_ref().map(|report| score(report, Ceiling { correct: 9_463, items: 10_000 }, &rules)),
        rank: report.as_ref().map(|_| 8),
        receipt: report.as_ref().map(|_| Digest::of(b"receipt")),
        receipt_log_index: report.as_ref().map(|_| 41),
        row: report.as_ref().map(|_| board(12).rows[8].clone()),
        latency_verdict: report.as_ref().map(|report| protocol::latency::judge(&report.latency)),
        compared: report.as_ref().map(|_| true),
        report,
    }
}

fn form(form: ModelForm, report: &Report) -> FormView {
    let (size_bytes, lost) = match form {
        ModelForm::Onnx => (409_120, 0),
        ModelForm::OnnxF16 => (205_880, 1),
        ModelForm::OnnxInt8 => (107_340, 41),
    };
    FormView {
        form,
        object: ObjectRef { sha256: Digest::of(form.path().as_bytes()), size_bytes },
        items: 5_000,
        correct: 4_420 - lost,
        agreed: 5_000 - 2 * lost,
        engine: format!("rten 0.27.0 beside {}", report.engine),
    }
}

pub fn report() -> Report {
    let confusion: Vec<Vec<u32>> = vec![
        vec![846, 1, 15, 16, 4, 1, 112, 0, 5, 0],
        vec![2, 978, 0, 13, 3, 0, 2, 0, 2, 0],
        vec![14, 1, 828, 9, 74, 0, 73, 0, 1, 0],
        vec![15, 6, 10, 904, 31, 0, 31, 0, 3, 0],
        vec![0, 1, 66, 27, 842, 0, 62, 0, 2, 0],
        vec![0, 0, 0, 0, 0, 967, 0, 20, 1, 12],
        vec![109, 1, 73, 24, 61, 0, 722, 0, 10, 0],
        vec![0, 0, 0, 0, 0, 14, 0, 967, 0, 19],
        vec![3, 1, 3, 3, 3, 2, 5, 4, 976, 0],
        vec![0, 0, 0, 0, 0, 7, 1, 35, 0, 957],
    ];
    let correct = (0..10).map(|n| confusion[n][n]).sum();
    Report {
        format: protocol::report::REPORT_FORMAT.into(),
        package_sha256: Digest::of(b"package"),
        engine: "eval 0.1.0 (burn 0.22.1)".into(),
        host: Host {
            cpu_model: "AMD EPYC 7763 64-Core Processor".into(),
            cpu_flags: vec!["avx2".into(), "fma".into()],
            cores: 2,
            kernel: "Linux 6.1.0".into(),
            flush_to_zero: true,
            sandbox: "strict ns=user,pid,net,mnt,ipc,uts".into(),
            pinned_core: Some(1),
            priority_raised: true,
        },
        device: "flex".into(),
        on_backend: None,
        data: DataSeen { images_sha256: Digest::of(b"images"), seed: 7, items: 10_000, public_items: 5_000 },
        outputs_sha256: Digest::of(b"outputs"),
        quality: Quality { correct, public_correct: correct / 2, confusion, negative_flips: 702, positive_flips: 226 },
        fidelity: Fidelity { agreement: 9_104, kl_micronats: 161_200, js_micronats: 33_410, js_micronats_se: 812 },
        calibration: Calibration { ece_ppm: 21_400, brier_ppm: 152_700, nll_micronats: 291_800 },
        latency: Latency {
            ratio: Estimate { value_ppm: 41_000, low_ppm: 39_200, high_ppm: 43_100 },
            launches: 10,
            pairs: 400,
            p50_ns: 61_300,
            p90_ns: Some(66_900),
            reference_p50_ns: 1_480_000,
            cold_load_ns: 8_300_000,
            samples_sha256: Some(Digest::of(b"samples")),
            ..Latency::default()
        },
        cost: Cost {
            size_bytes: 203_540,
            file_bytes: 407_320,
            parameters: 101_770,
            macs: 101_632,
            activation_bytes: 3_648,
            peak_rss_bytes: 38_700_000,
            throughput_milli: 48_200_000,
        },
        phases_ms: Phases { load: 9, accuracy: 412, latency: 20_800, metrics: 31 },
    }
}
