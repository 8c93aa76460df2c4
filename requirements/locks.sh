#!/bin/sh
# Writes the locks from pyproject.toml. Pinned versions stay unless it is called with --upgrade.
# Every lock agrees with those before it, so that all of them go into one environment.
set -eu
cd "$(dirname "$0")/.."

# An empty environment: no index, no folder of wheels of the person's own gets into a lock.
compile() {
    env -i PATH="$PATH" HOME="${HOME:-/}" \
        .venv/bin/uv pip compile --quiet --no-config --system-certs --universal --python-version 3.11 \
        --only-binary :all: --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make locks" "$@"
}

extra() {
    .venv/bin/python -c 'import sys, tomllib
extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]
print("\n".join(extras[sys.argv[1]]))' "$1"
}

compile pyproject.toml -o requirements.lock "$@"
before="-c requirements.lock"
for name in test models; do
    # shellcheck disable=SC2086  # several words are meant
    extra "$name" | compile - $before -o "requirements/$name.lock" "$@"
    before="$before -c requirements/$name.lock"
done
# Only a file of it is read, never its code: its dependencies are heavy and stay out.
echo "lifetimes==0.11.3" | compile - --no-deps -o requirements/data.lock
# SDKs that share an import name with another one, each for a folder of its own (sdks.sh). What the
# environment has already stays out, so a lock here is a few lines.
shared=$(sed -n 's/^\([A-Za-z0-9_.-]*\)==.*/--no-emit-package \1/p' requirements.lock |
    grep -v -e segment-analytics -e backoff -e pyjwt)
for sdk in analytics-python==1.4.post1 segment-analytics-python==2.2.3 \
    segment-analytics-python==2.3.4 rudder-sdk-python==2.1.9; do
    # shellcheck disable=SC2086  # several words are meant
    echo "$sdk" | compile - $shared -o "requirements/sdks/$sdk.lock" "$@"
done
# DuckDB with its own extension for Iceberg, of one version, which the tests read the lake with.
printf '%s\n' duckdb-ext-iceberg duckdb-ext-avro |
    compile - -o requirements/sdks/duckdb-iceberg.lock "$@"
echo "uv" | compile - -o requirements/locks.lock "$@"
