//! Downloads of a 50 MB model through the Hub protocol, beside nginx that serves the same file from the same folder:
//! `cargo run --release -p validator --example download [-- NGINX [ROUNDS]]`.
//!
//! A validator with its default settings and a folder as its store serves in a process of its own, and so does nginx with
//! `sendfile` on and one worker a core (Debian's package, or any other by its path). One client reads from both in turn
//! and throws away what it reads, so that only the servers differ; the file is in the page cache for both. Printed are
//! the medians and their ratio. The client shares the machine with what it measures.

#![expect(clippy::unwrap_used, reason = "a measurement whose setting up fails has failed")]

mod large;

use large::{HIDDEN, load, publish, runtime, serve, start};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use validator::Home;

/// What a client reads at once.
const READ_BYTES: usize = 256 << 10;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", home] => runtime().block_on(serve(&Home::new(home))),
        _ => {
            let nginx = words.first().map_or("nginx", String::as_str);
            measure(nginx, words.get(1).map_or(40, |rounds| rounds.parse().unwrap()));
        }
    }
}

fn measure(nginx: &str, rounds: usize) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path().join("validator"));
    runtime().block_on(publish(dir.path(), &home, &HIDDEN));
    let validator = Server::validator(&home);
    let objects = home.path().join("objects/sha256");
    let nginx = Server::nginx(nginx, dir.path(), &objects);
    let target = "/teachers/digits/resolve/main/model.safetensors";
    let size = download(validator.address, target);
    let sha256 = std::fs::read_dir(&objects).unwrap().flatten().find(|file| file.metadata().unwrap().len() == size);
    let by_digest = format!("/{}", sha256.unwrap().file_name().to_str().unwrap());
    let small = format!("{target}?x").replace("model.safetensors?x", "config.json");
    println!("{} MB, {rounds} rounds, load average {}", size / 1_000_000, load());
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Each is first as often as the other.
        for place in [round % 2, 1 - round % 2] {
            let (address, target) = [(validator.address, target), (nginx.address, by_digest.as_str())][place];
            let began = Instant::now();
            assert_eq!(download(address, target), size);
            seconds[place].push(began.elapsed().as_secs_f64());
        }
    }
    let [ours, theirs] = seconds.map(quartiles);
    for (name, [first, median, third]) in [("validator", ours), ("nginx", theirs)] {
        let rate = |seconds: f64| size as f64 / seconds / 1e6;
        println!("{name:>9}: {:.0} MB/s (quartiles {:.0} to {:.0})", rate(median), rate(third), rate(first));
    }
    println!("validator / nginx: {:.0} %", theirs[1] / ours[1] * 100.0);
    let mut latencies: Vec<f64> = (0..200)
        .map(|_| {
            let began = Instant::now();
            download(validator.address, &small);
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    latencies.sort_by(f64::total_cmp);
    println!("a small file through the Hub protocol: median {:.2} ms, p99 {:.2} ms", latencies[100], latencies[197]);
    println!("load average {}", load());
}

/// Reads a file and throws it away; its bytes.
fn download(address: SocketAddr, target: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let (mut buffer, mut head, mut bytes) = (vec![0; READ_BYTES], Vec::new(), 0);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return bytes;
        }
        if bytes > 0 {
            bytes += count as u64;
            continue;
        }
        head.extend_from_slice(&buffer[..count]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head[..end]));
            bytes = (head.len() - end - 4) as u64;
        }
    }
}

fn quartiles(mut seconds: Vec<f64>) -> [f64; 3] {
    seconds.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| seconds[seconds.len() * quarter / 4])
}

/// A serving process; it dies with its owner.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn validator(home: &Home) -> Self {
        let (child, address) = start(home);
        Self { child, address }
    }

    /// nginx as Debian configures it, but for what names places.
    fn nginx(program: &str, folder: &Path, root: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let root = root.canonicalize().unwrap();
        let configuration = format!(
            "daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/error.log; user root;
             events {{ worker_connections 768; }}
             http {{ sendfile on; tcp_nopush on; access_log off; types {{ }} default_type application/octet-stream;
                client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
                uwsgi_temp_path {folder}; scgi_temp_path {folder};
                server {{ listen {address}; root {root}; }} }}\n",
            folder = folder.display(),
            root = root.display(),
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new(program);
        let child = command.arg("-c").arg(&file).arg("-e").arg(folder.join("error.log")).stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}: {error}"));
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master ends its workers when it is asked, not when it is killed.
        let process = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        std::thread::sleep(Duration::from_millis(200));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
