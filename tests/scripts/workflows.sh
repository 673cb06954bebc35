#!/bin/bash
# Checks the workflows in .github: their schema, and what zizmor knows of unsafe ones. They cannot run here.
# Fetches both programs from PyPI, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
place=$PWD/target/tools/workflows
wanted=(check-jsonschema==0.39.0 zizmor==1.32.0)

if [ "$(cat "$place/.complete" 2>/dev/null)" != "${wanted[*]}" ]; then
    rm -rf "$place"
    python3 -m pip --quiet install --disable-pip-version-check --root-user-action=ignore --target "$place" "${wanted[@]}" >&2
    echo "${wanted[*]}" >"$place/.complete"
fi
PYTHONPATH=$place python3 -m check_jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$place/bin/zizmor" --quiet --offline .github/workflows
