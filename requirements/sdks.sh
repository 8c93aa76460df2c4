#!/bin/sh
# The SDKs of the tests, unmodified, into .venv/sdks:  sh requirements/sdks.sh
# Python's each in a folder of its own, since several share an import name; npm's by their lock.
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
