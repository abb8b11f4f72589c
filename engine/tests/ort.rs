//! onnxruntime, whose library `scripts/onnxruntime.sh` lays out. What needs it runs in a process of its own, since what
//! keeps the library from sending anything has to be said before the process starts.

use crate::data;
use engine::conformance::check;
use engine::ort::{LIBRARY, OnnxRuntime, TELEMETRY_VARIABLE};
use engine::{Mode, Refused, Runtime};
use program::{Limits, onnx};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const LIBRARY_VARIABLE: &str = "RETORT_ONNXRUNTIME";

/// Where the library lies.
fn library() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/onnxruntime.sh");
    let output = Command::new(&script).output().expect("a shell");
    let said = String::from_utf8(output.stdout).expect("text");
    let path = said.lines().find_map(|line| line.strip_prefix("export RETORT_ONNXRUNTIME='")?.strip_suffix('\''));
    PathBuf::from(path.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// The test of that name below [`inside`], in a process of its own.
fn run(name: &str, variables: &[(&str, &str)], home: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("ort::inside::{name}"), "--nocapture"]);
    command.env_remove(TELEMETRY_VARIABLE).env(LIBRARY_VARIABLE, library()).env("HOME", home);
    command.envs(variables.iter().copied()).output().unwrap()
}

fn passes(name: &str) {
    let home = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = run(name, &[(TELEMETRY_VARIABLE, "1")], home.path());
    let said = [String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)].concat();
    assert!(status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "it left something at home");
}

#[test]
fn it_answers_operators_as_onnx_says() {
    passes("operators");
}

#[test]
fn it_answers_what_pytorch_exports_as_pytorch_does() {
    passes("exports");
}

#[test]
fn it_has_one_thread_and_says_what_it_is() {
    passes("name_and_threads");
}

#[test]
fn without_the_word_that_keeps_it_silent_it_is_not_loaded() {
    for variables in [&[][..], &[(TELEMETRY_VARIABLE, "0")], &[("DO_NOT_TRACK", "1")]] {
        let home = tempfile::tempdir().unwrap();
        let output = run("refused", variables, home.path());
        assert!(output.status.success(), "{variables:?}: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "it left something at home");
    }
}

#[test]
fn another_file_is_refused() {
    let path = std::env::current_exe().unwrap();
    let error = OnnxRuntime::open(&path, &LIBRARY.parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("run scripts/onnxruntime.sh"), "{error}");
    let error = OnnxRuntime::open(&path.join("nothing"), &LIBRARY.parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
}

/// Debian's package `qemu-user`: what a Haswell answers, which has AVX2 and neither AVX-512 nor VNNI.
const EMULATOR: &str = "qemu-x86_64";

/// What each case answers in both modes as digests, on this processor or an emulated one.
fn digests(emulated: Option<&str>) -> BTreeMap<String, String> {
    let home = tempfile::tempdir().unwrap();
    let test = ["--ignored", "--exact", "ort::inside::answers", "--nocapture", "--test-threads", "1"];
    let mut command = match emulated {
        Some(processor) => {
            let mut command = Command::new(EMULATOR);
            command.args(["-cpu", processor]).arg(std::env::current_exe().unwrap());
            command
        }
        None => Command::new(std::env::current_exe().unwrap()),
    };
    command.args(test).env(TELEMETRY_VARIABLE, "1").env(LIBRARY_VARIABLE, library()).env("HOME", home.path());
    let output = command.output().unwrap_or_else(|error| panic!("{EMULATOR}: {error}: apt-get install qemu-user"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines()
        .filter_map(|line| line.strip_prefix("answer ")?.rsplit_once(' '))
        .map(|(a, b)| (a.into(), b.into()))
        .collect()
}

#[test]
fn exact_answers_have_the_same_bits_on_a_processor_without_wide_registers() {
    let (here, there) = (digests(None), digests(Some("Haswell")));
    assert_eq!(here.len(), 2 * (data::operators().len() + data::exports().len()) + 1, "and the processor");
    assert_eq!(there["processor"], "avx2=true,avx512f=false");
    let differing = |mode: Mode| {
        let of_it = here.iter().filter(|(name, _)| name.ends_with(&format!(" {mode}")));
        of_it.filter(|(name, digest)| there.get(*name) != Some(*digest)).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert!(differing(Mode::Exact).is_empty(), "{}: {:#?}", here["processor"], differing(Mode::Exact));
    // What is fast is other code there, or nothing was shown.
    let wide = here["processor"].ends_with("avx512f=true");
    assert_eq!(differing(Mode::Fast).is_empty(), !wide, "{}: {:#?}", here["processor"], differing(Mode::Fast));
}

/// What [`run`] starts.
mod inside {
    use super::*;

    const LIMITS: Limits =
        Limits { file_bytes_max: 1 << 28, parameters_max: 1 << 28, macs_max: 1 << 40, activation_bytes_max: 1 << 28 };

    fn onnxruntime() -> OnnxRuntime {
        let path = std::env::var_os(LIBRARY_VARIABLE).expect("set by the test that starts this");
        OnnxRuntime::open(Path::new(&path), &LIBRARY.parse().unwrap()).unwrap()
    }

    fn pass_all(cases: &[engine::conformance::Case]) {
        let findings = check(&onnxruntime(), cases);
        assert!(findings.broken.is_empty() && findings.refused.is_empty(), "{findings:#?}");
        assert_eq!(findings.passed, 2 * cases.len());
    }

    #[test]
    #[ignore = "started by it_answers_operators_as_onnx_says"]
    fn operators() {
        pass_all(&data::operators());
    }

    #[test]
    #[ignore = "started by it_answers_what_pytorch_exports_as_pytorch_does"]
    fn exports() {
        pass_all(&data::exports());
    }

    #[test]
    #[ignore = "started by exact_answers_have_the_same_bits_on_a_processor_without_wide_registers"]
    fn answers() {
        let (avx2, avx512) = (is_x86_feature_detected!("avx2"), is_x86_feature_detected!("avx512f"));
        println!("\nanswer processor avx2={avx2},avx512f={avx512}");
        let (runtime, mut outputs) = (onnxruntime(), Vec::new());
        runtime.prepare().unwrap();
        for case in data::operators().into_iter().chain(data::exports()) {
            let read = onnx::read_as_stated(&case.file, &LIMITS).unwrap();
            for mode in [Mode::Exact, Mode::Fast] {
                let mut session = runtime.load(&read.graph, mode).unwrap();
                session.run(&case.inputs, &mut outputs).unwrap();
                let mut bits = Vec::new();
                outputs.iter().for_each(|output| output.write(&mut bits));
                println!("answer {} {mode} {}", case.name, protocol::Digest::of(&bits));
            }
        }
    }

    #[test]
    #[ignore = "started by it_has_one_thread_and_says_what_it_is"]
    fn name_and_threads() {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let before = threads();
        let runtime = onnxruntime();
        runtime.prepare().unwrap();
        assert_eq!(runtime.id().to_string(), format!("onnxruntime 1.32.0 sha256:{LIBRARY}"));
        let case = data::exports().swap_remove(0);
        let read = onnx::read_as_stated(&case.file, &LIMITS).unwrap();
        let mut session = runtime.load(&read.graph, Mode::Fast).unwrap();
        session.run(&case.inputs, &mut Vec::new()).unwrap();
        assert_eq!(threads(), before);
    }

    #[test]
    #[ignore = "started by without_the_word_that_keeps_it_silent_it_is_not_loaded"]
    fn refused() {
        let runtime = onnxruntime();
        assert!(runtime.prepare().unwrap_err().to_string().contains(TELEMETRY_VARIABLE));
        let case = data::exports().swap_remove(0);
        let read = onnx::read_as_stated(&case.file, &LIMITS).unwrap();
        assert!(matches!(runtime.load(&read.graph, Mode::Fast), Err(Refused::NotReady(_))));
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains("onnxruntime"), "the library is loaded");
    }
}
