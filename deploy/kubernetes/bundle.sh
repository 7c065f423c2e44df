#!/bin/sh
# Write deployment.yaml from the base, and the alerts of ../prometheus as a PrometheusRule; comments included.
# `bundle.sh --print deployment` and `--print rules` only print them (a test compares).
set -eu
cd "$(dirname "$0")"

deployment() {
  cat <<'END'
# PacSync on Kubernetes, in one file: put your image, host name and origin in here. (It is made by bundle.sh from base/,
# which is the place for changes that should last, and for a kustomization of yours.)
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

rules() {
  cat <<'END'
# The alerts of deploy/prometheus/rules.yml for the Prometheus Operator. Made by bundle.sh: edit there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: pacman-sync-utility
  namespace: pacman-sync
  labels:
    app.kubernetes.io/name: pacman-sync-utility
    app.kubernetes.io/part-of: pacman-sync-utility
spec:
END
  sed 's/^./  &/' ../prometheus/rules.yml
}

case "$*" in
"--print deployment") deployment ;;
"--print rules") rules ;;
"")
  deployment >deployment.yaml
  rules >components/monitoring/prometheus-rule.yaml
  ;;
*) echo "usage: bundle.sh [--print deployment|rules]" >&2; exit 2 ;;
esac
