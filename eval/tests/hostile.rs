//! A worker that its model has taken over: locked like any other, it speaks the engine's language and misuses it.
//!
//! `eval-hostile DEED CANDIDATE REFERENCE MARK`, two numbers of parameters and the candidate's last bytes in hexadecimal: it
//! greets, says that it has loaded its model, and where that is the candidate, and not its twin, does its deed when it is
//! asked for outputs. It knows Fashion-MNIST's ten classes and nothing of a model.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Kinds of frames, by number as they travel.
const HELLO: u32 = 1;
const LOAD: u32 = 2;
const LOADED: u32 = 3;
const ITEMS: u32 = 5;
const PING: u32 = 6;
const PONG: u32 = 7;
const RUN: u32 = 8;
const OUT: u32 = 9;
const TIME: u32 = 10;
const TIMED: u32 = 11;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [deed, candidate, reference, mark] = arguments.as_slice() else { return ExitCode::from(2) };
    let [candidate, reference] = [candidate, reference].map(|number| number.parse().expect("a number of parameters"));
    let package = sandbox::package().expect("a package");
    sandbox::lock(sandbox::Profile::Strict).expect("locked");
    match serve(deed, candidate, reference, (&package, mark)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(deed: &str, candidate: u64, reference: u64, (package, mark): (&File, &str)) -> io::Result<()> {
    let mut deed = deed;
    send(HELLO, &[4u32.to_le_bytes(), 1u32.to_le_bytes()].concat())?;
    loop {
        let (kind, payload) = receive()?;
        match kind {
            LOAD => {
                let length = |at: usize| {
                    let bytes = payload.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
                    bytes.map_or(0, u64::from_le_bytes)
                };
                let (config_bytes, weights_bytes) = (length(8), length(16));
                let is_candidate = weights_bytes > 4 * candidate;
                let does = is_candidate && ends_with(package, config_bytes + weights_bytes, mark)?;
                deed = if does { deed } else { "nothing" };
                send(LOADED, &(if is_candidate { candidate } else { reference }).to_le_bytes())?;
            }
            ITEMS => {}
            PING => send(PONG, &[])?,
            RUN => outputs(deed, &payload)?,
            TIME => timed(deed, &payload)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Whether the package of so many bytes ends so.
fn ends_with(package: &File, bytes: u64, mark: &str) -> io::Result<bool> {
    let mut end = vec![0; mark.len() / 2];
    let at = bytes.saturating_sub(end.len() as u64);
    package.read_exact_at(&mut end, at)?;
    Ok(end.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == mark)
}

/// Answers a batch, or does something else.
fn outputs(deed: &str, span: &[u8]) -> io::Result<()> {
    let count = span.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
    let honest = [span, &vec![0; 4 * 10 * count]].concat();
    match deed {
        "open-file" => std::fs::read("/etc/passwd").map(|_| ()),
        "connect" => std::net::TcpStream::connect("127.0.0.1:1").map(|_| ()),
        "spawn" => std::process::Command::new("/bin/true").spawn().map(|_| ()),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(1_000));
        },
        "allocate" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 16 << 20]);
            }
        }
        "abort" => std::process::abort(),
        "quit" => std::process::exit(0),
        "longer-answer" => send(OUT, &[honest.as_slice(), &[0; 4]].concat()),
        "endless-answer" => {
            let mut output = io::stdout().lock();
            output.write_all(&[OUT.to_le_bytes().as_slice(), &u64::MAX.to_le_bytes()].concat())?;
            loop {
                output.write_all(&[0; 1 << 16])?;
            }
        }
        "another-batch" => send(OUT, &[&[0xff; 8], &honest[8..]].concat()),
        "another-kind" => send(PONG, &[]),
        "not-a-number" => send(OUT, &[span, &f32::NAN.to_le_bytes().repeat(10 * count)].concat()),
        "flood-errors" => {
            let mut errors = io::stderr().lock();
            (0..64).try_for_each(|_| errors.write_all(&[b'<'; 1 << 16]))?;
            std::process::exit(9)
        }
        _ => send(OUT, &honest),
    }
}

/// Takes ten milliseconds for each block, and says so, or that it was a nanosecond; or never ends it.
fn timed(deed: &str, span: &[u8]) -> io::Result<()> {
    let start = Instant::now();
    match deed {
        "spin-when-timed" => loop {
            std::hint::spin_loop();
        },
        "sleep-when-timed" => std::thread::sleep(Duration::from_secs(1_000)),
        // Late by all launches together, and by none of them alone.
        "compute-when-timed" => while start.elapsed() < Duration::from_millis(20) {},
        _ => std::thread::sleep(Duration::from_millis(10)),
    }
    let told_ns = if deed == "lie-about-time" { 1 } else { start.elapsed().as_nanos() as u64 };
    send(TIMED, &[span, &told_ns.to_le_bytes(), &[0; 40]].concat())
}

fn send(kind: u32, payload: &[u8]) -> io::Result<()> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut output = io::stdout().lock();
    output.write_all(&[kind.to_le_bytes().as_slice(), &length, payload].concat())?;
    output.flush()
}

fn receive() -> io::Result<(u32, Vec<u8>)> {
    let mut header = [0; 12];
    io::stdin().read_exact(&mut header)?;
    let [kind, length] = [0, 4].map(|at| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte])));
    let mut payload = vec![0; length as usize];
    io::stdin().read_exact(&mut payload)?;
    Ok((kind, payload))
}
