#!/bin/bash
# usage: scripts/page-test.sh
#
# The pages of worker and router in a headless browser, with screenshots in docs/. Needs the Debian packages chromium and npm, and the programs of
# this workspace: cargo build --workspace --bins. The browser's driver and axe come from npm, into the cache.
set -euo pipefail

cd "$(dirname "$0")/.."
for program in chromium npm node; do
	command -v $program >/dev/null || { echo "$program is missing; install it: apt-get install chromium npm"; exit 1; }
done
PAGE_TEST=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/page-test
export PAGE_TEST
mkdir -p "$PAGE_TEST"
cp tests/page/package.json tests/page/*.mjs "$PAGE_TEST"
(cd "$PAGE_TEST" && npm install --silent --no-audit --no-fund --ignore-scripts)
cargo test --quiet --package auxot-tests --test page -- --ignored --nocapture
