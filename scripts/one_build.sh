#!/usr/bin/env bash
# Whether one build serves every binary: names each crate below burn that `retort` and `miner-template` would be built with
# other features, so that burn would be compiled twice. What is named belongs into features/Cargo.toml. It compiles nothing.
#
#     scripts/one_build.sh
set -euo pipefail
cd "$(dirname "$0")/.."
python3 - <<'PY'
import collections, re, subprocess, sys

def resolved(package):
    """Crate -> its sets of features, and whom it depends on, as cargo would build `package` alone."""
    command = ["cargo", "tree", "--locked", "-p", package, "-e", "normal,build", "--prefix", "depth", "--no-dedupe", "-f", "|{p}|{f}"]
    features, below, path = collections.defaultdict(set), collections.defaultdict(set), []
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        depth, crate, has = line.split("|")
        crate = re.sub(r" \(.*", "", crate)
        features[crate].add(has)
        del path[int(depth):]
        if path:
            below[path[-1]].add(crate)
        path.append(crate)
    return features, below

(of_retort, _), (of_template, below) = resolved("retort"), resolved("miner-template")
seen, todo = set(), [crate for crate in below if crate.startswith("burn")]
while todo:
    for crate in below.get(todo.pop(), ()):
        if crate not in seen:
            seen.add(crate)
            todo.append(crate)
other = [crate for crate in sorted(seen) if crate in of_retort and not of_template[crate] <= of_retort[crate]]
for crate in other:
    print(f"{crate}: the template has {of_template[crate]}, retort {of_retort[crate]}")
sys.exit(1 if other else 0)
PY
