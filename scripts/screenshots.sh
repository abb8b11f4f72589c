#!/usr/bin/env bash
# Photographs every page of a validator full of submissions, on a phone and a desk, in light and dark, and has axe look for
# barriers: `scripts/screenshots.sh [FOLDER]` (default /tmp/retort-pages). Needs Chromium (Debian's package) and Python;
# what Python needs is pinned in scripts/python/pages.txt. Fails if a page overflows, logs an error or has a serious barrier.
#
# The validator is `validator/examples/gallery`: the real service with a scripted engine. RETORT_GALLERY names the folder
# in which it is kept between runs.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-/tmp/retort-pages}"
gallery="${RETORT_GALLERY:-${XDG_CACHE_HOME:-$HOME/.cache}/retort-gallery}"
profile="${RETORT_PROFILE:-dev}"
run=(cargo run --quiet --locked --profile "$profile" -p validator --example gallery --)
if [ ! -f "$gallery/complete" ]; then
  rm -rf "$gallery"
  mkdir -p "$gallery"
  "${run[@]}" fill "$gallery"
  touch "$gallery/complete"
fi
rm -f "$gallery/address"
# cargo becomes the program, so its number is the program's.
"${run[@]}" serve "$gallery" > /dev/null &
service=$!
trap 'kill -TERM "$service" 2>/dev/null; wait "$service" 2>/dev/null || true' EXIT
for _ in $(seq 600); do [ -f "$gallery/address" ] && break; sleep 0.2; done
"$(scripts/python.sh pages)" scripts/screenshots.py "http://$(cat "$gallery/address")" "$out"
