//! Workers that misbehave: what the parent makes of them, and how soon.

use crate::support::{MLP, RESNET, engine, engine_with, evaluate, package, request};
use protocol::evaluation::EvaluationFailure;
use protocol::submission::Code;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_worker_that_never_answers_is_killed_at_the_deadline() {
    let mut request = request(package(MLP, 2), None);
    request.wall_seconds_max = 1;
    let start = Instant::now();
    let failure = evaluate(&engine_with("/bin/sleep", &["600"]), &request).unwrap_err();
    assert!(is_code(&failure, Code::EvaluationTimeout), "{failure}");
    // The lease may have to wait for another test first.
    assert!(start.elapsed() < Duration::from_secs(120));
}

#[test]
fn a_worker_over_its_memory_is_killed() {
    let mut request = request(package(RESNET, 2), None);
    request.memory_bytes_max = 1 << 20;
    let failure = evaluate(&engine(), &request).unwrap_err();
    assert!(is_code(&failure, Code::EvaluationOutOfMemory), "{failure}");
}

#[test]
fn programs_that_are_no_workers_are_our_own_fault() {
    let cases: [(&str, &[&str], &str); 5] = [
        ("/bin/false", &[], "exit status: 1"),
        ("/no/such/program", &[], "/no/such/program"),
        ("/bin/sh", &["-c", "head -c 100000 /dev/zero"], "unknown kind 0"),
        ("/bin/sh", &["-c", "echo broken beyond repair >&2; exit 3"], "broken beyond repair"),
        ("/bin/sh", &["-c", "kill -9 $$"], "someone killed the worker"),
    ];
    for (program, args, words) in cases {
        let failure = evaluate(&engine_with(program, args), &request(package(MLP, 2), None)).unwrap_err();
        let ours = matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains(words));
        assert!(ours, "{program} {args:?}: {failure}");
    }
}

#[test]
fn a_worker_that_greets_and_dies_has_crashed() {
    // A greeting is kind 1, length 8, version 2, denormals not flushed.
    let greeting = r"printf '\001\000\000\000\010\000\000\000\000\000\000\000\002\000\000\000\000\000\000\000'";
    let script = format!("{greeting}; echo last words >&2; kill -SEGV $$");
    let failure = evaluate(&engine_with("/bin/sh", &["-c", &script]), &request(package(MLP, 2), None)).unwrap_err();
    assert!(is_code(&failure, Code::EvaluationCrashed), "{failure}");
    assert!(failure.to_string().contains("last words"), "{failure}");
}

#[test]
fn an_answer_of_another_length_is_not_read() {
    let greeting = r"printf '\001\000\000\000\377\377\377\377\377\377\377\177'; cat >/dev/null";
    let failure = evaluate(&engine_with("/bin/sh", &["-c", greeting]), &request(package(MLP, 2), None)).unwrap_err();
    assert!(matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("expected Hello")), "{failure}");
}

#[test]
fn endless_complaints_fill_no_memory_and_block_nothing() {
    let script = "head -c 3000000 /dev/zero >&2; exit 4";
    let failure = evaluate(&engine_with("/bin/sh", &["-c", script]), &request(package(MLP, 2), None)).unwrap_err();
    assert!(failure.to_string().contains("exit status: 4"), "{failure}");
    assert!(failure.to_string().len() < 2_000);
}

#[test]
fn a_worker_inherits_no_environment_and_no_folder() {
    let script = "env >&2; pwd >&2; exit 5";
    let failure = evaluate(&engine_with("/bin/sh", &["-c", script]), &request(package(MLP, 2), None)).unwrap_err();
    let words = failure.to_string();
    assert!(words.contains("RAYON_NUM_THREADS=1") && words.ends_with(" /"), "{words}");
    for absent in ["CARGO", "HOME", "USER"] {
        assert!(!words.contains(absent), "{absent} in {words}");
    }
}

#[test]
fn a_worker_ends_when_its_input_does() {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_eval-worker"));
    let output = worker.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    let greeting = [1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(output.stdout, greeting, "one greeting and no more");
}

fn is_code(failure: &EvaluationFailure, code: Code) -> bool {
    matches!(failure, EvaluationFailure::Package(rejection) if rejection.code == code)
}
