#!/bin/bash
# Checks manifests against the schema of the Kubernetes API; fetches the checker, PyPI's kubernetes-validate, once.
# Usage: kubernetes-validate.sh FILE...
set -euo pipefail
place=$(cd "$(dirname "$0")/../.." && pwd)/target/tools/kubernetes-validate-1.37.0

if [ ! -e "$place/.complete" ]; then
    rm -rf "$place"
    python3 -m pip --quiet install --disable-pip-version-check --root-user-action=ignore --target "$place" 'kubernetes-validate==1.37.0' >&2
    touch "$place/.complete"
fi
PYTHONPATH=$place exec python3 -m kubernetes_validate --strict "$@"
