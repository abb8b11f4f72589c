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
source scripts/gallery.sh
"$(scripts/python.sh pages)" scripts/screenshots.py "http://$address" "$out"
