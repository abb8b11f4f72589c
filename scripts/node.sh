#!/usr/bin/env bash
# Prints a folder with other people's JavaScript clients in its node_modules, which it fills on first use with what
# scripts/node/package-lock.json pins. Tests that drive them ask it, and so may you:
#
#     cd "$(scripts/node.sh)" && node -e 'import("@huggingface/hub").then((hub) => console.log(Object.keys(hub)))'
#
# A changed pin makes a new folder. RETORT_NODE_DIR says where they lie (default ~/.cache/retort-node).
set -euo pipefail
pins="$(dirname "$0")/node"
root="${RETORT_NODE_DIR:-$HOME/.cache/retort-node}"
dir="$root/$(sha256sum "$pins/package-lock.json" | cut -c1-12)"
mkdir -p "$root"
# Two tests may ask at once; an installation that was cut short starts again.
exec 9> "$root/lock"
flock 9
if [ ! -f "$dir/complete" ]; then
  rm -rf "$dir"
  mkdir "$dir"
  cp "$pins/package.json" "$pins/package-lock.json" "$dir"
  npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --silent >&2
  touch "$dir/complete"
fi
echo "$dir"
