#!/bin/sh
# Write deployment.yaml from the base, comments included. `bundle.sh --print` only prints it (a test compares).
set -eu
cd "$(dirname "$0")"

bundle() {
  cat <<'END'
# PacSync on Kubernetes, in one file. Made by bundle.sh from base/: edit there.
#
#   kubectl apply -f deploy/kubernetes/deployment.yaml
#   kubectl -n pacman-sync create secret generic pacman-sync-utility-secrets \
#     --from-literal=SECRET_KEY="$(openssl rand -base64 48)" \
#     --from-literal=DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/DATABASE
#
# Pods wait for the secret. Kustomize: base/, overlays/development, components/monitoring.
END
  sed -n 's/^  - \(.*\.yaml\)$/\1/p' base/kustomization.yaml | while read -r file; do
    echo "---"
    cat "base/$file"
  done
}

case ${1:-} in
--print) bundle ;;
"") bundle >deployment.yaml ;;
*) echo "usage: bundle.sh [--print]" >&2; exit 2 ;;
esac
