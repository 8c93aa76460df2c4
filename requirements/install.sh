#!/bin/sh
# Installs locks into .venv, which it makes:  sh requirements/install.sh LOCK...
# What is installed already is left alone: .venv/installed/ keeps the locks as they were.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME

fail() {
    echo "$*" >&2
    exit 1
}

version() {
    "$1" -c 'import sys
if sys.version_info < (3, 11): sys.exit(1)
print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# The first Python that is new enough; one that can make environments is preferred.
find_python() {
    enough=
    for python in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        version "$python" >/dev/null || continue
        "$python" -c 'import ensurepip, venv' 2>/dev/null && echo "$python" && return
        enough=${enough:-$python}
    done
    [ "$enough" ] || fail "Horizon needs Python 3.11 or newer, and none was found:" \
        "install one, or name it: make PYTHON=/path/to/python3"
    package=python$(version "$enough")-venv
    [ "$(version python3)" != "$(version "$enough")" ] || package=python3-venv
    sudo="sudo "
    [ "$(id -u)" -ne 0 ] || sudo=
    fail "Python's venv module is missing. Type: ${sudo}apt-get install $package"
}

usable() {
    [ "$(.venv/bin/python -c 'import pip, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = \
        "$(cat .venv/installed/python 2>/dev/null)" ] && [ -s .venv/installed/python ]
}

make_venv() {
    python=$(find_python)
    echo "Making .venv with Python $(version "$python")"
    "$python" -m venv --clear .venv
    mkdir .venv/installed
    version .venv/bin/python >.venv/installed/python
}

# The project itself needs no package index: a line that points at src, and a launcher. Both are
# relative, so that the folder may be moved. The launcher is a shell script and Python in one,
# since a shebang cannot hold a path with spaces.
link_project() {
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "../../../../src" >"$packages/horizon.pth"
    cat >.venv/bin/horizon <<'LAUNCHER'
#!/bin/sh
'''exec' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@"
' '''
import sys

from horizon.cli.main import main

sys.exit(main())
LAUNCHER
    chmod 755 .venv/bin/horizon
}

usable || make_venv
link_project
missing=
names=
for lock; do
    name=$(basename "$lock")
    cmp -s "$lock" ".venv/installed/$name" || missing="$missing -r $lock" names="$names $lock"
done
[ "$missing" ] || exit 0
echo "Installing$names"
# shellcheck disable=SC2086  # several words are meant
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --only-binary :all: --no-deps $missing
for lock in $names; do
    cp "$lock" .venv/installed/
done
