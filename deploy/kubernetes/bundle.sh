#!/bin/sh
# Write deployment.yaml from base/, and the alerts of ../prometheus as a PrometheusRule, including the comments.
# `bundle.sh --print deployment` and `--print rules` only print them (for a test).
set -eu
cd "$(dirname "$0")"

deployment() {
  cat <<'END'
# PacSync on Kubernetes, in one file: put your image, host name and origin in here. (bundle.sh makes it from base/: make
# permanent changes there, or build your own kustomization on it.)
#
#   kubectl apply -f deploy/kubernetes/deployment.yaml
#   kubectl -n pacman-sync create secret generic pacman-sync-utility-secrets \
#     --from-literal=SECRET_KEY="$(openssl rand -base64 48)" \
#     --from-literal=DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/DATABASE
#
# Pods wait for the secret. For kustomize there are base/, overlays (development, openshift) and components (http-route,
# secret-files, cloudnative-pg, monitoring).
END
  sed -n 's/^  - \(.*\.yaml\)$/\1/p' base/kustomization.yaml | while read -r file; do
    echo "---"
    cat "base/$file"
  done
}

rules() {
  cat <<'END'
# The alerts of deploy/prometheus/rules.yml for the Prometheus Operator. Made by bundle.sh: change rules.yml instead.
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
