//! Workers that misbehave: what the parent makes of them, and how soon.

use crate::support::{MLP, RESNET, config, engine, engine_with, order, package};
use eval::{Cancel, Confinement, Engine, Handicap, Home};
use protocol::evaluation::{Answer, EvaluationFailure, Order, outputs_digest};
use protocol::report::Clock;
use protocol::submission::Code;
use std::process::Command;
use std::time::{Duration, Instant};

fn evaluate(engine: &Engine, order: &Order) -> Result<Answer, EvaluationFailure> {
    engine.evaluate(order, &|_| {})
}

#[test]
fn a_worker_that_never_answers_is_killed_at_the_deadline() {
    let mut order = order(package(MLP, 2));
    order.wall_seconds_max = 1;
    let start = Instant::now();
    let failure = evaluate(&engine_with("/bin/sleep", &["600"]), &order).unwrap_err();
    let ours = matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("time limit"));
    assert!(ours, "what sleeps used nothing, so nobody is blamed: {failure}");
    // The machine may have to be waited for first.
    assert!(start.elapsed() < Duration::from_secs(120));
}

#[test]
fn a_measurement_that_nobody_wants_any_more_ends_at_once() {
    let (engine, order) = (engine_with("/bin/sleep", &["600"]), order(package(MLP, 2)));
    let machine = engine.lease.wait(|_| {}).unwrap();
    let cancel = Cancel::default();
    let measured = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let home = Home { progress: &|_| {}, is_worth_timing: &|_| true };
            engine.evaluate_on(&machine, &order, &cancel, home)
        });
        std::thread::sleep(Duration::from_millis(300));
        drop(cancel.on_drop());
        let told = Instant::now();
        (measuring.join().unwrap(), told.elapsed())
    });
    assert!(matches!(&measured.0, Err(EvaluationFailure::Infrastructure(why)) if why.contains("cancelled")));
    assert!(measured.1 < Duration::from_secs(20), "{:?}", measured.1);
}

#[test]
fn a_worker_over_its_memory_is_killed() {
    let mut order = order(package(RESNET, 2));
    order.memory_bytes_max = 1 << 20;
    let failure = evaluate(&engine(), &order).unwrap_err();
    assert!(is_code(&failure, Code::EvaluationOutOfMemory), "{failure}");
}

#[test]
fn programs_that_are_no_workers_are_our_own_fault() {
    let cases: [(&str, &[&str], &str); 4] = [
        ("/bin/false", &[], "exit status 1"),
        ("/bin/sh", &["-c", "head -c 100000 /dev/zero"], "unknown kind 0"),
        ("/bin/sh", &["-c", "echo broken beyond repair >&2; exit 3"], "broken beyond repair"),
        ("/bin/sh", &["-c", "kill -9 $$"], "someone killed the worker"),
    ];
    for (program, args, words) in cases {
        let failure = evaluate(&engine_with(program, args), &order(package(MLP, 2))).unwrap_err();
        let ours = matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains(words));
        assert!(ours, "{program} {args:?}: {failure}");
    }
}

#[test]
fn a_worker_that_greets_and_dies_has_crashed() {
    // A greeting is kind 1, length 8, version 4, denormals not flushed.
    let greeting = r"printf '\001\000\000\000\010\000\000\000\000\000\000\000\004\000\000\000\000\000\000\000'";
    let script = format!("{greeting}; echo last words >&2; kill -SEGV $$");
    let failure = evaluate(&engine_with("/bin/sh", &["-c", &script]), &order(package(MLP, 2))).unwrap_err();
    assert!(is_code(&failure, Code::EvaluationCrashed), "{failure}");
    assert!(failure.to_string().contains("last words"), "{failure}");
}

#[test]
fn an_answer_of_another_length_is_not_read() {
    let greeting = r"printf '\001\000\000\000\377\377\377\377\377\377\377\177'; cat >/dev/null";
    let failure = evaluate(&engine_with("/bin/sh", &["-c", greeting]), &order(package(MLP, 2))).unwrap_err();
    assert!(matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("expected Hello")), "{failure}");
}

#[test]
fn endless_complaints_fill_no_memory_and_block_nothing() {
    let script = "head -c 3000000 /dev/zero >&2; exit 4";
    let failure = evaluate(&engine_with("/bin/sh", &["-c", script]), &order(package(MLP, 2))).unwrap_err();
    assert!(failure.to_string().contains("exit status 4"), "{failure}");
    assert!(failure.to_string().len() < 2_000);
}

#[test]
fn a_worker_inherits_no_environment_and_no_folder() {
    let script = "env >&2; pwd >&2; exit 5";
    let failure = evaluate(&engine_with("/bin/sh", &["-c", script]), &order(package(MLP, 2))).unwrap_err();
    let words = failure.to_string();
    assert!(words.contains("RAYON_NUM_THREADS=1") && words.ends_with(" /"), "{words}");
    for absent in ["CARGO", "HOME", "USER"] {
        assert!(!words.contains(absent), "{absent} in {words}");
    }
}

#[test]
fn a_worker_ends_when_its_input_does() {
    let script = format!("{} 3</dev/null </dev/null", env!("CARGO_BIN_EXE_eval-worker"));
    let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    let greeting = [1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(output.stdout, greeting, "one greeting and no more");
}

#[test]
fn an_evaluation_in_the_sandbox_and_one_outside_have_the_same_outputs() {
    let order = order(package(RESNET, 2));
    let [inside, outside] = [Confinement::Sandbox, Confinement::Process]
        .map(|confinement| evaluate(&Engine { confinement, ..engine() }, &order).unwrap());
    assert_eq!(outputs_digest(&inside.outputs), outputs_digest(&outside.outputs));
    assert_eq!(outside.measured.host.sandbox, "process");
}

/// A candidate that the hostile worker tells from the reference by its size.
const WIDE: &str = r#"{"kind":"mlp","hidden":[32]}"#;

fn hostile_order() -> Order {
    Order { reference: package(MLP, 1), ..order(package(WIDE, 2)) }
}

/// An engine whose workers were taken over by the model that they run.
fn hostile_engine(deed: &str) -> Engine {
    let [candidate, reference] =
        [WIDE, MLP].map(|model| config(model).plan().unwrap().costs().unwrap().parameters.to_string());
    let weights = package(WIDE, 2).weights;
    let mark: String = weights[weights.len() - 8..].iter().map(|byte| format!("{byte:02x}")).collect();
    let taken_over = engine_with(env!("CARGO_BIN_EXE_eval-hostile"), &[deed, &candidate, &reference, &mark]);
    Engine { confinement: Confinement::Sandbox, ..taken_over }
}

#[test]
fn whatever_a_worker_that_was_taken_over_does_has_its_verdict() {
    use Code::{
        EvaluationCrashed as Crashed, EvaluationOutOfMemory as OutOfMemory, EvaluationQuit as Quit,
        EvaluationTimeout as Timeout, OutputsInvalid, SandboxViolation as Violation,
    };
    let deeds = [
        ("open-file", Violation),
        ("connect", Violation),
        ("spawn", Violation),
        ("spin", Timeout),
        ("quit", Quit),
        ("endless-answer", Crashed),
        ("allocate", OutOfMemory),
        ("abort", Crashed),
        ("longer-answer", Crashed),
        ("another-batch", Crashed),
        ("another-kind", Crashed),
        ("not-a-number", OutputsInvalid),
        ("flood-errors", Crashed),
    ];
    for (deed, code) in deeds {
        let mut order = hostile_order();
        order.wall_seconds_max = if code == Timeout { 1 } else { 60 };
        order.memory_bytes_max = 256 << 20;
        let failure = evaluate(&hostile_engine(deed), &order).unwrap_err();
        assert!(is_code(&failure, code), "{deed}: {failure}");
        assert!(failure.to_string().len() < 2_000, "{deed}");
    }
}

/// As on a host that gives a worker no time: what counts is what it used beside what its architecture needs.
#[test]
fn whoever_is_late_without_having_used_the_processor_blames_the_host() {
    let order = Order { wall_seconds_max: 1, ..hostile_order() };
    let failure = evaluate(&hostile_engine("sleep"), &order).unwrap_err();
    let ours = matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("the host is too busy"));
    assert!(ours, "{failure}");
}

/// The launches of a measurement that has no time for them all: whom that blames follows from what one of them used.
#[test]
fn whoever_is_late_in_a_launch_is_blamed_for_what_it_computes_and_not_for_waiting() {
    for (deed, is_package) in [("spin-when-timed", true), ("compute-when-timed", true), ("sleep-when-timed", false)] {
        let order = Order { wall_seconds_max: 4, ..hostile_order() };
        let failure = evaluate(&hostile_engine(deed), &order).unwrap_err();
        match is_package {
            true => assert!(is_code(&failure, Code::EvaluationTimeout), "{deed}: {failure}"),
            false => {
                let ours =
                    matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("the host is too busy"));
                assert!(ours, "{deed}: {failure}");
            }
        }
        assert!(failure.to_string().contains("one launch"), "{deed}: {failure}");
    }
}

#[test]
fn a_worker_that_lies_about_its_time_is_timed_all_the_same() {
    let samples = hostile_engine("lie-about-time").latency_with(&hostile_order(), Handicap::default()).unwrap();
    let latency = samples.summary();
    assert_eq!(latency.clock, Clock::Parent);
    assert!(latency.p50_ns * u64::from(latency.inferences_per_block) >= 10_000_000, "{latency:?}");
}

fn is_code(failure: &EvaluationFailure, code: Code) -> bool {
    matches!(failure, EvaluationFailure::Package(rejection) if rejection.code == code)
}
