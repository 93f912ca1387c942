#!/bin/sh
# Proves the constraint files: installs the wheel under the one that fits this interpreter and runs
# the device's own tests there, then resolves both releases for the Pi (aarch64) without installing.
# PYTHON names the interpreter (default python3). The files are for the Python of Debian's releases, 3.11 and 3.13;
# under another there is nothing to prove. Without network nothing can be proved: it says so and leaves the proof out.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

release_of() { # Python version -> the release it belongs to
    case $1 in
        3.11) echo bookworm ;;
        3.13) echo trixie ;;
        *) echo "" ;;
    esac
}

resolve() { # release, Python version, extra: what pip would install on the Pi
    # pip takes environment markers from the Python that runs it, whatever --python-version says: under 3.13
    # ml-dtypes asks for a newer numpy than Bookworm has.
    if [ "$release" = trixie ] && [ "$1" = bookworm ]; then
        echo "constraints: $1 aarch64 Python $2 [$3] left out, needs Python $2"
        return
    fi
    "$work/venv/bin/pip" install --quiet --dry-run --ignore-installed --target "$work/none" \
        --platform manylinux_2_34_aarch64 --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux_2_24_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        --python-version "$2" --only-binary=:all: \
        --constraint "constraints/$1.txt" "${wheel}[$3]"
    echo "constraints: $1 aarch64 Python $2 [$3] resolves"
}

reach_index() { # fails where pip cannot connect to the package index
    # pip warns before each try that is left: the last warning, with none left after it, means that every try failed.
    ! "$python" -m pip --retries 2 index versions ai-edge-litert 2>&1 | grep -q -F 'Retry(total=0'
}

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
release=$(release_of "$version")
if [ -z "$release" ]; then
    echo "constraints: left out, they are for Python 3.11 and 3.13, not $version"
    exit 0
fi
if ! reach_index; then
    echo "constraints: LEFT OUT, the package index cannot be reached; run .ci/constraints.sh again with network" >&2
    exit 0
fi
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --upgrade pip
# A copy, because building in place leaves folders behind.
mkdir "$work/source"
tar -c --exclude=.git --exclude=build --exclude=dist --exclude='.venv*' --exclude=runs --exclude=out \
    --exclude='*.keras' --exclude='*.egg-info' . |
    tar -x -C "$work/source"
"$work/venv/bin/pip" wheel --quiet --no-deps --wheel-dir "$work" "$work/source"
wheel=$(echo "$work"/fluocount-*.whl)

resolve bookworm 3.11 device
resolve bookworm 3.11 tflite
resolve trixie 3.13 device

"$work/venv/bin/pip" install --quiet --constraint "constraints/$release.txt" "${wheel}[device]"
# Test tools that do not touch what is pinned.
"$work/venv/bin/pip" install --quiet --constraint "constraints/$release.txt" \
    pytest pytest-timeout pytest-xdist hypothesis
"$work/venv/bin/pip" check
# Tests that need neither training nor tools outside the device's own requirements.
tests=$(grep -LE '^ *(from|import) (trainer|convert|tensorflow|keras|pandas|schemathesis|playwright|shapely|geojson|requests|browser|test_)' \
    tests/test_*.py)
# -P: import the installed wheel, not this folder.
# shellcheck disable=SC2086  # one word per file
"$work/venv/bin/python" -P -m pytest -p no:cacheprovider -n 2 --dist loadfile \
    -m 'not slow and not browser and not data' $tests
echo "constraints: device tests pass with constraints/$release.txt on Python $version"
