#!/usr/bin/env bash
# Builds the static binary and the image, and starts both: is it static, does it run as nobody in a
# read-only root with nothing else in it, does it answer?
#
#   packaging/check.sh              builds first (PROFILE=dev is faster)
#   packaging/check.sh BINARY       checks this one
#
# Needs buildah for the image (Debian: apt-get install buildah crun); without it, or where the
# machine forbids namespaces, it says so and checks the binary alone in an empty root.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-$(packaging/build.sh)}
work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "${container:-}" ] || buildah rm "$container" >/dev/null 2>&1 || true
  [ -z "${image:-}" ] || buildah rmi "$image" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT
say() { printf '%-34s %s\n' "$1" "$2"; }
fail() { echo "packaging/check.sh: $*" >&2; exit 1; }

# 1. The binary is static and has no interpreter.
linked=$(ldd "$binary" 2>&1 || true)
case $linked in *"not a dynamic executable"* | *"statically linked"*) ;; *) fail "dynamic: $linked" ;; esac
if command -v readelf >/dev/null; then
  readelf -lW "$binary" | grep -q INTERP && fail "it asks for an interpreter"
fi
say "static" "yes, $(($(stat -c %s "$binary") / 1048576)) MiB"
say "version" "$("$binary" --version)"

# 2. It serves from an empty root, as nobody, and cannot write there.
mkdir -p "$work/root" "$work/local/policies"
cp "$binary" "$work/root/caapc"
cat > "$work/local/policies/p.yaml" <<'POLICY'
apiVersion: containersecurity.tigera.io/v1beta1
kind: ContainerAdmissionPolicy
metadata: {name: reject-all}
spec: {rules: [{action: Reject}]}
POLICY
answers() { # PORT: readiness, then a review that must be denied
  for _ in $(seq 1 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&3 &&
      head -1 <&3 | grep -q ' 200') 2>/dev/null && return 0
    sleep 0.1
  done
  return 1
}
free_port() { for port in $(shuf -i 20000-40000 -n 50); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }; done; }
webhook=$(free_port) metrics=$(free_port)
if [ "$(id -u)" = 0 ] && command -v chroot >/dev/null; then
  # What it reads and the certificate that it makes lie beside the binary; all else is absent.
  mkdir -p "$work/root/local/policies" && cp "$work/local/policies/p.yaml" "$work/root/local/policies/"
  chmod 755 "$work" "$work/root"; mkdir -p "$work/root/local/tls"; chown -R 65532:65532 "$work/root/local"
  chroot --userspec=65532:65532 "$work/root" /caapc serve --local /local \
    --listen "127.0.0.1:$webhook" --metrics-listen "127.0.0.1:$metrics" > "$work/log" 2>&1 &
  server=$!
  answers "$metrics" || { cat "$work/log" >&2; fail "it does not become ready in an empty root"; }
  curl -sf --cacert "$work/root/local/tls/ca.crt" -H 'Content-Type: application/json' \
    "https://127.0.0.1:$webhook/admission-review" -d '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"a","operation":"CREATE","userInfo":{"username":"u"},"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"nginx"}]}}}}' |
    grep -q '"allowed":false' || fail "it does not deny what the policy rejects"
  kill -TERM "$server"; wait "$server" || fail "exit code $? after SIGTERM"
  server=
  say "serves from an empty root, as nobody" "yes; exit 0 after SIGTERM"
else
  say "serves from an empty root, as nobody" "not checked: needs root for chroot"
fi

# 3. The image, by a builder without a daemon.
if ! command -v buildah >/dev/null; then
  say "image" "NOT CHECKED: no buildah"
  exit 0
fi
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
mkdir -p "$work/context/target/x/release" && cp "$binary" "$work/context/target/x/release/caapc"
image=localhost/caapc-check:$$
if ! buildah build --quiet --build-arg BINARY=target/x/release/caapc -f Dockerfile -t "$image" "$work/context" > "$work/build" 2>&1; then
  say "image" "NOT CHECKED: buildah cannot build here: $(tail -1 "$work/build")"
  exit 0
fi
user=$(buildah inspect --format '{{.OCIv1.Config.User}}' --type image "$image")
[ "$user" = 65532:65532 ] || fail "the image runs as \`$user\`"
container=$(buildah from "$image")
files=$(buildah unshare sh -c "cd \$(buildah mount $container) && find . -type f | sort" 2>/dev/null ||
  sh -c "cd \$(buildah mount $container) && find . -type f | sort")
[ "$files" = ./caapc ] || fail "the image holds more than the binary: $files"
say "image" "FROM scratch, user $user, files: $files"
if started=$(buildah run "$container" -- /caapc --version 2>&1); then
  say "image starts" "$started"
else
  say "image starts" "NOT CHECKED: the machine forbids it: $(echo "$started" | tail -1)"
fi
