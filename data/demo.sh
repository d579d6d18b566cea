#!/usr/bin/env bash
# The whole flow on the sample catalogue: raw pins and logs to a scored query and a report. `make demo` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CORKBOARD_WORKSPACE="${CORKBOARD_WORKSPACE:-$PWD/data/workspace}"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

say "1. import: the synthetic sample catalogue into source tables"
enrich import sample data/sample

say "2. enrich: texts, captions, link titles (over HTTP, from a loopback server), boards, queries, engagement, vectors"
pages=$(mktemp)
python data/serve_pages.py data/sample/pages >"$pages" &
server=$!
trap 'kill $server 2>/dev/null || true; rm -f "$pages"' EXIT
for _ in $(seq 100); do [ -s "$pages" ] && break; sleep 0.1; done
enrich run --connect-to "$(cat "$pages")"

say "3. feature store: the plain Feast commands"
feast -c feature_repo -f "$CORKBOARD_WORKSPACE/feature_store.yaml" apply
feast -c feature_repo -f "$CORKBOARD_WORKSPACE/feature_store.yaml" \
  materialize 1970-01-01T00:00:00 "$(date -u +%Y-%m-%dT%H:%M:%S)" -v pin_serving -v query_serving

say "4. relevance: teacher, soft labels, students, report"
relevance run

say "5. online: a query scored and ranked through the feature store"
relevance score --query "vase on a wooden table" --pins 255529192 857308255 962668567
relevance rank --query "vase on a wooden table" --top 10

say "Done"
cat <<END
The report:            $CORKBOARD_WORKSPACE/reports/evaluation/index.html
Coverage and failures: .venv/bin/enrich status
Rank for a query:      .venv/bin/relevance rank --query "wooden chair for the garden"
Your own catalogue:    .venv/bin/enrich import native DIR --workspace W   (see README.md)
END
