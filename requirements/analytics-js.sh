#!/bin/sh
# Writes src/horizon/edge/analytics_js/ anew from the package that tests/sdks/package-lock.json
# names (npm checks its SHA-512): sh requirements/analytics-js.sh
# The files go into the wheel as they are, so that a collector behind a firewall has them.
set -eu
cd "$(dirname "$0")/.."
CI=true sh requirements/sdks.sh
package=.venv/sdks/node/node_modules/@segment/analytics-next
folder=src/horizon/edge/analytics_js
rm -rf "$folder"
mkdir "$folder"
cp "$package/dist/umd/standalone.js" "$package"/dist/umd/*.bundle.*.js "$folder/"
modules=$package/../..
for name in @segment/analytics-next @segment/facade @segment/isodate @segment/isodate-traverse \
    @segment/analytics.js-video-plugins @lukeed/uuid dset js-cookie new-date tslib unfetch; do
    printf '\n%s\n\n' "---- $name"
    cat "$modules/$name"/[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*
done >"$folder/LICENSE"
node -p "require('./$package/package.json').version" >"$folder/VERSION"
(cd "$folder" && LC_ALL=C sha256sum LICENSE ./*.js | sed 's|\./||' >SHA256SUMS)
cat "$folder/VERSION" "$folder/SHA256SUMS"
