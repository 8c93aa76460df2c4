#!/bin/sh
# OpenSearch and Elasticsearch for the tests, into .venv/search:  sh requirements/search-servers.sh
# Maven fetches what search-servers.xml names; each file has to be the one of search-servers.sha256.
# After a change of versions, --lock writes that file anew.
# A machine without a JDK or Maven is told so, and its tests of the search servers are skipped.
set -eu
cd "$(dirname "$0")/.."
list=$PWD/requirements/search-servers.sha256
folder=.venv/search

for program in javac mvn; do
    command -v "$program" >/dev/null && continue
    echo "$program is missing, so the tests with a search server are skipped. To have it, type:" \
        "sudo apt-get install default-jdk-headless maven" >&2
    exit 0
done

fetch() {
    echo "Fetching the search servers of the tests with Maven"
    rm -rf "$folder" "$folder.part"
    mkdir -p "$folder.part"
    mvn -q -B -f requirements/search-servers.xml \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$PWD/$folder.part" && return
    echo "Maven could not fetch the search servers, so their tests are skipped." >&2
    [ "${CI:-}" != true ] && exit 0
    exit 1
}

if [ "${1:-}" = --lock ]; then
    fetch
    (cd "$folder.part" && sha256sum -- * | LC_ALL=C sort -k 2) >"$list"
elif cmp -s "$list" "$folder/fetched"; then
    exit 0
else
    fetch
fi
(cd "$folder.part" && sha256sum --check --strict --quiet "$list") || {
    echo "What Maven gave is not what requirements/search-servers.sha256 names: nothing was" \
        "installed. If the versions were changed on purpose, type: sh $0 --lock" >&2
    exit 1
}
cp "$list" "$folder.part/fetched"
mv "$folder.part" "$folder"
