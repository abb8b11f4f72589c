#!/usr/bin/env bash
# Prints the path of scripts/hub-client, a program that uses Rust's hf-hub 1.0, which it builds on first use. It has two
# hundred crates that nothing else needs, so it is no member of the workspace and its target directory lies elsewhere:
# RETORT_HUB_CLIENT_DIR says where (default ~/.cache/retort-hub-client).
set -euo pipefail
dir="${RETORT_HUB_CLIENT_DIR:-$HOME/.cache/retort-hub-client}"
CARGO_TARGET_DIR="$dir" cargo build --quiet --locked --manifest-path "$(dirname "$0")/hub-client/Cargo.toml" >&2
echo "$dir/debug/hub-client"
