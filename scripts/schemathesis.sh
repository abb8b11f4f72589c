#!/usr/bin/env bash
# Schemathesis against a running validator full of submissions: requests generated from /openapi.json, thousands of them, no
# server error and no answer that the description doesn't have: `scripts/schemathesis.sh [EXAMPLES]` (per operation, default
# 120: some five thousand requests). What Python needs is pinned in scripts/python/api.txt. The validator is the one of
# scripts/screenshots.sh; it is asked as its operator, with JSON instead of streams.
set -euo pipefail
cd "$(dirname "$0")/.."
examples="${1:-120}"
st="$(dirname "$(scripts/python.sh api)")/st"
source scripts/gallery.sh
# Acts of the operator and removals change the gallery for the next run, so they are left out; their tests are ours.
"$st" run "http://$address/openapi.json" \
  --max-examples "$examples" --continue-on-failure --no-color --suppress-health-check all --warnings off \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
  --exclude-path-regex '/operator/submissions/' --request-timeout 20 \
  --header 'Accept: application/json' --header 'Authorization: Bearer a gallery has no secrets'
