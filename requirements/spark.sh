#!/bin/sh
# Spark for the tests, into .venv/spark:  sh requirements/spark.sh
# pyspark has no wheel, and pip would run its setup.py even to look at it. So pip only finds and
# fetches the archive (456 MB), which has to be of this SHA-256, and the folders that are wanted are
# unpacked; Maven fetches what spark.xml names (137 MB), each file that of spark.sha256.
# After a change of versions, --lock writes that file anew. A machine without Java or Maven is told
# so, and its tests with Spark are skipped.
set -eu
cd "$(dirname "$0")/.."
version=4.1.4
sha256=bcbd5e18690cf79d438e97210ad06fb8d451a251bb77becc2b0418868d2acd73
list=$PWD/requirements/spark.sha256
folder=.venv/spark

for program in java mvn; do
    command -v "$program" >/dev/null && continue
    echo "$program is missing, so the tests with Spark are skipped. To have it, type:" \
        "sudo apt-get install default-jre-headless maven" >&2
    exit 0
done

# In CI nothing may be missing.
without() {
    rm -rf "$folder.part"
    echo "$*" >&2
    [ "${CI:-}" != true ] && exit 0
    exit 1
}

# What this script and its lists say; the tests with Spark want it to be so.
wanted="$sha256  pyspark-$version
$(cat "$list" 2>/dev/null || true)"
[ "${1:-}" = --lock ] || [ "$wanted" != "$(cat "$folder/fetched" 2>/dev/null)" ] || exit 0

echo "Fetching Spark $version"
rm -rf "$folder" "$folder.part"
mkdir -p "$folder.part/jars"
mvn -q -B -f requirements/spark.xml \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$PWD/$folder.part/jars" ||
    without "Maven could not fetch Iceberg for Spark, so the tests with Spark are skipped."
[ "${1:-}" != --lock ] || (cd "$folder.part/jars" && LC_ALL=C sha256sum -- *) >"$list"
(cd "$folder.part/jars" && sha256sum --check --strict --quiet "$list") || {
    echo "What Maven gave is not what requirements/spark.sha256 names: nothing was installed." \
        "If the versions were changed on purpose, type: sh $0 --lock" >&2
    exit 1
}
archive=$folder.part/pyspark.tar.gz
.venv/bin/python requirements/source_archive.py pyspark "$version" "$archive" ||
    without "pip could not fetch pyspark, so the tests with Spark are skipped."
echo "$sha256  $archive" | sha256sum --check --strict --quiet || {
    echo "pyspark's archive is not the one that requirements/spark.sh names: nothing was installed." >&2
    exit 1
}
tar -xzf "$archive" -C "$folder.part" --strip-components=1 --no-same-owner \
    "pyspark-$version/pyspark" "pyspark-$version/deps/jars" "pyspark-$version/deps/bin" \
    "pyspark-$version/lib"
# Where pyspark looks for them: in its own folder.
mv "$folder.part/deps/jars" "$folder.part/deps/bin" "$folder.part/pyspark/"
mv "$folder.part"/jars/*.jar "$folder.part/pyspark/jars/"
.venv/bin/python -m zipfile -e "$folder.part"/lib/py4j-*-src.zip "$folder.part"
rm -r "$folder.part/deps" "$folder.part/jars" "$folder.part/lib" "$archive"
{ echo "$sha256  pyspark-$version"; cat "$list"; } >"$folder.part/fetched"
mv "$folder.part" "$folder"
