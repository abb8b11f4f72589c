//! What reading takes at most: three times the file, whatever the file is.

use crate::file::{Message, float_tensor, graph, model, node};
use crate::{LIMITS, floats};
use program::onnx;
use std::process::Command;

const FILE_BYTES: usize = 10_000_000;

/// Many empty messages of one kind.
fn empties(kind: &str) -> Vec<u8> {
    let count = FILE_BYTES / 2;
    let body = match kind {
        "nodes" => Message([0x0a, 0x00].repeat(count)),
        "initialisers" => Message([0x2a, 0x00].repeat(count)),
        "inputs" => Message([0x5a, 0x00].repeat(count)),
        "attributes" => Message::default().message(1, &Message([0x2a, 0x00].repeat(count))),
        "names" => Message::default().message(1, &Message([0x0a, 0x00].repeat(count))),
        "numbers" => {
            let list = Message::default().text(1, "axes").bytes(8, &vec![1; FILE_BYTES]);
            Message::default().message(1, &node("Relu", &["x"], &["y"]).message(5, &list))
        }
        "loose" => {
            let tensor = Message::default().int(1, 10_000_000).int(2, 7).text(8, "w").bytes(7, &vec![1; FILE_BYTES]);
            graph(&[node("Relu", &["x"], &["y"])], &[tensor], &[1, 4], &[1, 4])
        }
        // Ten weights that are all looked at, in different shapes.
        _ => {
            let side = 500;
            let weights: Vec<_> = (0..10).map(|at| float_tensor(&format!("w{at}"), &[side, side], at as f32)).collect();
            let name = |at: usize| if at == 0 { "x".to_owned() } else { format!("t{at}") };
            let product = |at: usize| {
                let out = if at == 9 { "y".to_owned() } else { name(at + 1) };
                node("MatMul", &[&name(at), &format!("w{at}")], &[&out])
            };
            let nodes: Vec<_> = (0..10).map(product).collect();
            graph(&nodes, &weights, &[1, side], &[1, side])
        }
    };
    model(&body).0
}

const KINDS: [&str; 8] = ["nodes", "initialisers", "inputs", "attributes", "names", "numbers", "loose", "weights"];

/// The most memory that this process ever had, in bytes.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1_024
}

/// Run by the test below in a process of its own, since memory is counted by process.
#[test]
#[ignore = "run by `reading_takes_three_times_the_file_at_most`"]
fn reads_one() {
    let kind = std::env::var("RETORT_KIND").unwrap();
    let path = std::env::var("RETORT_FILE").unwrap();
    let file = std::fs::read(path).unwrap();
    let before = peak_bytes();
    let read = onnx::read(&file, &floats(&[1, 500], &[1, 500]), &LIMITS);
    assert_eq!(read.is_ok(), kind == "weights", "{kind}: {:?}", read.err());
    if let Ok(read) = read {
        assert!(onnx::write(&read[0].graph).len() > FILE_BYTES);
    }
    println!("peak {} of which {before} before", peak_bytes());
    assert!(peak_bytes() - before + file.len() <= 3 * file.len(), "{kind}: {} bytes", peak_bytes());
}

#[test]
fn reading_takes_three_times_the_file_at_most() {
    let folder = std::env::temp_dir().join(format!("retort-program-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for kind in KINDS {
        let path = folder.join(kind);
        std::fs::write(&path, empties(kind)).unwrap();
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::reads_one", "--ignored", "--nocapture"])
            .env("RETORT_KIND", kind)
            .env("RETORT_FILE", &path)
            .output()
            .unwrap();
        assert!(run.status.success(), "{kind}: {}", String::from_utf8_lossy(&run.stderr));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
