#!/bin/sh
# The SDKs of the tests, unmodified, into .venv/sdks:  sh requirements/sdks.sh
# Python's each in a folder of its own, since several share an import name; npm's by their lock.
# In the same way, DuckDB with its own extension for Iceberg, which is of another version than ours.
# New versions: in locks.sh; in tests/sdks/package.json, then there
# `npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved`; in
# sdks/kotlin.xml, then `sh requirements/sdks.sh --lock`.
# What is there already is left alone. A machine without Node.js or npm is told so, and the tests
# with their SDKs are skipped.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .venv/sdks

# In CI nothing may be missing.
without() {
    echo "$*" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
}

for lock in requirements/sdks/*.lock; do
    name=$(basename "$lock" .lock)
    folder=.venv/sdks/$name
    ! cmp -s "$lock" "$folder/installed" || continue
    echo "Installing $name"
    rm -rf "$folder"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: --no-deps --target "$folder" -r "$lock" || {
        rm -rf "$folder"
        without "pip could not fetch the SDKs, so the tests with them are skipped."
    }
    cp "$lock" "$folder/installed"
done

# Kotlin's, where there is a JDK and Maven; each file has to be the one of kotlin.sha256, which
# --lock writes anew.
list=$PWD/requirements/sdks/kotlin.sha256
folder=.venv/sdks/kotlin
if ! command -v javac >/dev/null || ! command -v mvn >/dev/null; then
    echo "javac or mvn is missing, so the test with the Kotlin SDK is skipped. To have it, type:" \
        "sudo apt-get install default-jdk-headless maven" >&2
elif [ "${1:-}" = --lock ] || ! cmp -s "$list" "$folder/installed"; then
    echo "Fetching the Kotlin SDK with Maven"
    rm -rf "$folder"
    mvn -q -B -f requirements/sdks/kotlin.xml \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$PWD/$folder" ||
        without "Maven could not fetch the Kotlin SDK, so its test is skipped."
    [ "${1:-}" != --lock ] || (cd "$folder" && sha256sum -- *.jar) >"$list"
    (cd "$folder" && sha256sum --check --strict --quiet "$list") || {
        rm -rf "$folder"
        echo "What Maven gave is not what requirements/sdks/kotlin.sha256 names." >&2
        exit 1
    }
    cp "$list" "$folder/installed"
fi

node=.venv/sdks/node
! cmp -s tests/sdks/package-lock.json "$node/installed" || exit 0
for program in node npm; do
    command -v "$program" >/dev/null || without "$program is missing, so the tests with Node's and" \
        "browsers' SDKs are skipped. To have it, install Node.js 20 or newer with npm."
done
echo "Installing the SDKs of npm"
rm -rf "$node"
mkdir "$node"
cp tests/sdks/package.json tests/sdks/package-lock.json "$node/"
(cd "$node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null) || {
    rm -rf "$node"
    without "npm could not fetch the SDKs, so the tests with them are skipped."
}
cp tests/sdks/package-lock.json "$node/installed"
