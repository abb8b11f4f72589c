#!/usr/bin/env python3
"""What publishing many large pictures takes, and what measuring a model on them does: the figures of docs/DATA.md. One command:

    cargo build --release && cargo build --release --example large -p datasets
    scripts/large.py target/release/retort target/release/examples/large FOLDER [--public 50000] [--hidden 10000]

It makes pictures of 3 x 224 x 224 with a teacher's answers below FOLDER (once; 0.15 MB each), publishes them with a small MLP as
reference, serves them, and has one submission scored. For each phase it prints processor time and pictures a second and core of
the publishing process alone, and in the end the largest resident memory of the validator and of any worker of its, and what
lay on the disk: data published, and files beside it, those without a name among them.
"""

import argparse
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import threading
import time

MANIFEST = """
format = "retort-competition/1"
id = "large"
title = "Large pictures, to measure by"
license = "MIT"
task = "image_classification"
teacher_distance = "none"
labels = [{labels}]
input = {{ channels = 3, height = 224, width = 224, mean_ppm = [500000, 500000, 500000], deviation_ppm = [250000, 250000, 250000] }}
data = {{ source = "parquet:data", public_items = {public}, hidden_items = {hidden}, hidden_pool = "private" }}
reference = {{ package = "reference" }}
score = {{ gate_ppm = 1 }}
rounds = {{ beacon = "ledger", items = {round} }}

[teacher.answers]
column = "teacher_logits"
model = "none: one in fifty of its answers is wrong"
link = "https://example.com"
license = "MIT"

[limits]
size_bytes_max = 4000000
parameters_max = 1000000
macs_max = 1000000
activation_bytes_max = 10000000
submissions_per_day = 20
evaluation_seconds_max = 3600
"""
TRAINING = 100
INPUTS = 3 * 224 * 224
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


def package(folder, seed):
    """A package of an MLP with two hidden units, whose numbers differ by the seed."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = [f"class {number}" for number in range(10)]
    spec = dict(channels=3, height=224, width=224, mean_ppm=[500000] * 3, deviation_ppm=[250000] * 3)
    config = dict(format="retort/1", architecture=dict(kind="mlp", hidden=[2]), input=spec, labels=labels)
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"1.weight": [2, INPUTS], "1.bias": [2], "3.weight": [10, 2], "3.bias": [10]}
    header, data = {}, bytearray()
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [((seed * 7919 + place * 31) % 97 - 48) / (48 * count**0.5) for place in range(count)]
        header[name] = dict(dtype="F32", shape=shape, data_offsets=[len(data), len(data) + 4 * count])
        data += struct.pack(f"<{count}f", *values)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)


def prepared(args):
    """The folder with data, reference, a student and the manifest in it."""
    folder, data = args.folder, args.folder / "data"
    if not (data / "test.parquet").exists():
        began = time.time()
        subprocess.run([args.large, data, str(TRAINING), str(args.public + args.hidden)], check=True)
        print(f"made {args.public + args.hidden:,} pictures in {time.time() - began:.0f} s")
    package(folder / "reference", 1)
    package(folder / "student", 2)
    labels = ", ".join(f'"class {number}"' for number in range(10))
    sizes = dict(public=args.public, hidden=args.hidden, round=min(2000, args.hidden // 4))
    (folder / "competition.toml").write_text(MANIFEST.format(labels=labels, **sizes).lstrip())


def children(process):
    """The processes below one, itself first."""
    found = [process]
    for task in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += children(int(child))
        except OSError:
            pass
    return found


def seconds(process):
    """The processor time of a process without its children's."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def size(folder):
    found = subprocess.run(["du", "-sb", folder], capture_output=True, text=True).stdout.split()
    return int(found[0]) if found else 0


def nameless(process):
    """Bytes of files without a name that a process has open; one that it has open twice counts once."""
    files = {}
    for entry in pathlib.Path(f"/proc/{process}/fd").glob("*"):
        try:
            if os.readlink(entry).endswith("(deleted)"):
                stat = entry.stat()
                files[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
        except OSError:
            pass
    return sum(files.values())


class Watched:
    """Looks at a process and all below it until it ends."""

    def __init__(self, process, home):
        self.process, self.home = process, home
        self.own = self.workers = self.disk = self.nameless = 0
        self.ended = threading.Event()
        threading.Thread(target=self.look, daemon=True).start()

    def look(self):
        while not self.ended.wait(0.2):
            try:
                for number, process in enumerate(children(self.process)):
                    status = pathlib.Path(f"/proc/{process}/status").read_text()
                    peak = int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) * 1024
                    if number == 0:
                        self.own = max(self.own, peak)
                    else:
                        self.workers = max(self.workers, peak)
                open_files = nameless(self.process)
                self.nameless = max(self.nameless, open_files)
                self.disk = max(self.disk, size(self.home) + open_files)
            except (OSError, AttributeError):
                pass

    def end(self, what):
        self.ended.set()
        print(f"{what}: the validator's process {self.own / MIB:.0f} MiB at most, any other {self.workers / MIB:.0f} MiB")


def published(args, home):
    """Publishes, and prints each phase as it ends."""
    command = [args.retort, "validator", "publish", args.folder / "competition.toml", "--dir", home]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=args.folder)
    watched, phase, began, before = Watched(process.pid, home), None, 0.0, time.time()
    counts = {"evaluation": args.public + args.hidden, "test": args.public + args.hidden, "hidden pool": args.hidden}
    counts |= {"public part": args.public, "train": TRAINING}

    def ended(now):
        used = now - began
        count = next((count for name, count in counts.items() if phase and name in phase), None)
        rate = f", {count / used:.0f} pictures a second and core" if count and used > 0.5 else ""
        if phase:
            print(f"  {phase}: {used:.1f} s of the processor{rate}, {time.time() - before:.0f} s by the clock")

    for line in process.stderr:
        told = re.match(r"publish: ([^\n]*)", line)
        said = told and re.sub(r": \d+ of \d+, .*", "", told.group(1))
        if not said:
            print("  " + line.rstrip())
        elif said != phase:
            try:
                now = seconds(process.pid)
            except OSError:
                now = began
            ended(now)
            phase, began, before = said, now, time.time()
        elif " left" in line:
            print("    " + line.rstrip())
    if process.wait():
        sys.exit("publishing failed")
    watched.end("publish")
    there = size(home)
    print(f"disk: {there / 1e6:.0f} MB published, {watched.disk / 1e6:.0f} MB at most meanwhile, "
          f"of which files without a name {watched.nameless / 1e6:.0f} MB")  # fmt: skip


def scored(args, home):
    """Serves, and has a student measured on all public pictures."""
    serve = [args.retort, "validator", "serve", "--dir", home, "--listen", f"127.0.0.1:{args.port}"]
    server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = Watched(server.pid, home)
    try:
        key, validator = args.folder / "hotkey.json", f"http://127.0.0.1:{args.port}"
        if not key.exists():
            subprocess.run([args.retort, "keys", "new", key], check=True, stdout=subprocess.DEVNULL)
        for _ in range(600):
            asked = subprocess.run([args.retort, "competitions", "--validator", validator], capture_output=True)
            if asked.returncode == 0:
                break
            time.sleep(0.5)
        began = time.time()
        submit = [args.retort, "miner", "submit", args.folder / "student", "--competition", "large", "--hotkey", key]
        subprocess.run([*submit, "--validator", validator, "--wait"], check=True)
        print(f"scored on {args.public:,} pictures in {time.time() - began:.0f} s by the clock")
    finally:
        watched.end("serve")
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("retort", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("large", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("folder", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--public", type=int, default=50_000)
    parser.add_argument("--hidden", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=7171)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    prepared(args)
    home = args.folder / f"validator-{int(time.time())}"
    subprocess.run([args.retort, "validator", "init", "--dir", home], check=True, stdout=subprocess.DEVNULL)
    published(args, home)
    scored(args, home)


if __name__ == "__main__":
    main()
