#!/usr/bin/env bash
# Debian's Chromium for the browser tests. Where it cannot be installed they are skipped and say so.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" > /dev/null; then
        echo "browser tests use $(command -v "$name")"
        exit 0
    fi
done

if ! command -v apt-get > /dev/null; then
    echo "no Chromium and no apt-get: the browser tests will be skipped" >&2
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2> /dev/null; then
        echo "no Chromium and no password-free sudo: the browser tests will be skipped;" \
            "sudo apt-get install chromium brings them back" >&2
        exit 0
    fi
    as_root=(sudo -n)
fi

export DEBIAN_FRONTEND=noninteractive
if ! { "${as_root[@]}" apt-get update --quiet=2 &&
    "${as_root[@]}" apt-get install --quiet=2 --yes --no-install-recommends chromium fonts-dejavu-core > /dev/null; }; then
    echo "apt-get could not install Chromium: the browser tests will be skipped" >&2
fi
