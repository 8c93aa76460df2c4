#!/bin/sh
# rsyslog and syslog-ng for `python -m bench ship`, unpacked into .venv/log-shippers and not
# installed: as packages each drives the other out, and starts itself as the machine's own.
# Needs Debian 12's apt; nobody but that bench wants them.
set -eu
cd "$(dirname "$0")/.."
folder=$PWD/.venv/log-shippers
[ ! -e "$folder/usr/sbin/rsyslogd" ] || exit 0
packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT
chmod 755 "$packed"
(cd "$packed" && apt-get download -qq rsyslog rsyslog-elasticsearch libestr0 libfastjson4 \
    syslog-ng-core syslog-ng-mod-http libivykis0 libnet1 libpcre3)
for package in "$packed"/*.deb; do
    dpkg -x "$package" "$folder"
done
