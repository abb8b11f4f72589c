//! The machine of an evaluation, as `/proc` tells it. It measures nothing.

use crate::placement::WorkerPlacement;
use protocol::report::Host;
use std::fs::read_to_string;

/// The instruction sets that matter to the speed of a model.
const FLAGS: [&str; 3] = ["avx2", "avx512f", "fma"];

/// Describes this machine. What it doesn't say stays empty.
pub(crate) fn host(confinement: &str, flush_to_zero: bool, placement: WorkerPlacement) -> Host {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = |file: &str| read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
    Host {
        cpu_model: field(&cpu, "model name").to_owned(),
        cpu_flags: flags(field(&cpu, "flags")),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        kernel: format!("{} {}", kernel("ostype").trim(), kernel("osrelease").trim()).trim().to_owned(),
        flush_to_zero,
        sandbox: confinement.to_owned(),
        pinned_core: placement.core,
        priority_raised: placement.prior,
    }
}

/// What latencies may be compared within: the architecture, and of x86-64 the level of its instructions (psABI), such as `x86_64-v3`.
pub fn hardware_class() -> String {
    const LEVELS: [(&str, &[&str]); 3] = [
        ("v2", &["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"]),
        ("v3", &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"]),
        ("v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
    ];
    let architecture = std::env::consts::ARCH;
    if architecture != "x86_64" {
        return architecture.to_owned();
    }
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let there: Vec<&str> = field(&cpu, "flags").split_whitespace().collect();
    let reached = LEVELS.iter().take_while(|(_, flags)| flags.iter().all(|flag| there.contains(flag))).last();
    format!("{architecture}-{}", reached.map_or("v1", |(level, _)| level))
}

fn flags(all: &str) -> Vec<String> {
    let has = |flag: &&str| all.split_whitespace().any(|found| found == *flag);
    FLAGS.into_iter().filter(has).map(String::from).collect()
}

/// The first value called `name`; processors of one machine are alike.
fn field<'a>(cpuinfo: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    };
    cpuinfo.lines().find_map(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_and_flags_are_found_in_cpuinfo() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: AMD EPYC: 7B13\nflags\t\t: fpu avx avx2 sse4_1 fma\n\nprocessor\t: 1\n";
        assert_eq!(field(cpuinfo, "model name"), "AMD EPYC: 7B13");
        assert_eq!(flags(field(cpuinfo, "flags")), ["avx2", "fma"]);
        assert_eq!(field(cpuinfo, "no such"), "");
    }
}
