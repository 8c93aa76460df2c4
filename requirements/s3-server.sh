#!/bin/sh
# S3Proxy, the S3 server of the tests, into .venv/s3:  sh requirements/s3-server.sh
# Maven fetches it; it has to be the file of this SHA-256. A machine without Java or Maven is told
# so, and its tests of s3:// are skipped.
set -eu
cd "$(dirname "$0")/.."
version=4.1.0
sha256=a4d025969aaf796616ed4b1e2491d87d455ce84bb28cb9db086b2e6aaa68b48d
jar=.venv/s3/s3proxy.jar

for program in java mvn; do
    command -v "$program" >/dev/null && continue
    echo "$program is missing, so the tests of s3:// are skipped. To have it, type:" \
        "sudo apt-get install default-jre-headless maven" >&2
    exit 0
done

is_right() {
    echo "$sha256  $1" | sha256sum --check --strict --quiet >/dev/null 2>&1
}

is_right "$jar" && exit 0
echo "Fetching the S3 server of the tests with Maven"
rm -rf .venv/s3 && mkdir -p .venv/s3
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact="org.gaul:s3proxy:$version:jar:jar-with-dependencies" -DoutputDirectory="$PWD/.venv/s3" || {
    echo "Maven could not fetch the S3 server, so the tests of s3:// are skipped." >&2
    [ "${CI:-}" != true ] && exit 0
    exit 1
}
mv .venv/s3/s3proxy-*.jar "$jar.part"
is_right "$jar.part" || {
    echo "What Maven gave is not what requirements/s3-server.sh names: nothing was installed." >&2
    exit 1
}
mv "$jar.part" "$jar"
