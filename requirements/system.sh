#!/bin/sh
# Parts of the tests that only the system's packages bring:  sh requirements/system.sh PART...
# Installed where one may (root, or sudo without a password), otherwise named; in CI none may miss.
set -eu

need() {
    program=$1
    shift
    command -v "$program" >/dev/null && return
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo="sudo -n"
    if command -v apt-get >/dev/null && $sudo true 2>/dev/null; then
        echo "Installing $1 with apt"
        log=$(mktemp)
        install "$@" >"$log" 2>&1 </dev/null || tail -n 3 "$log" >&2
        rm -f "$log"
    fi
    command -v "$program" >/dev/null && return
    echo "$1 is missing, so its tests are skipped. To have it, type: sudo apt-get install $*" >&2
    [ "${CI:-}" != true ]
}

install() {
    $sudo apt-get update -qq || true
    [ "$1" != prometheus ] || { promtool_alone && return; }
    # Nobody's mail server: without this, Postfix would be set up and started on port 25.
    [ "$1" != postfix ] ||
        echo "postfix postfix/main_mailer_type select No configuration" | $sudo debconf-set-selections
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -o DPkg::Lock::Timeout=120 \
        --no-install-recommends "$@"
}

# Out of the package and not by installing it: that would start a server. It is one static binary.
promtool_alone() (
    folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" &&
        apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . &&
        $sudo cp usr/bin/promtool /usr/local/bin/promtool
)

for part; do
    case $part in
    chromium) need chromium chromium fonts-liberation ;;
    openssl) need openssl openssl ;;
    postfix) need /usr/sbin/postfix postfix ;;
    postgresql-15) need /usr/lib/postgresql/15/bin/initdb postgresql-15 ;;
    promtool) need promtool prometheus ;;
    *) echo "system.sh does not know $part" >&2 && exit 2 ;;
    esac
done
