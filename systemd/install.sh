#!/bin/sh
# Installs fluocount on 64-bit Raspberry Pi OS or Debian, Bookworm or Trixie. You can run it again at
# any time: it repairs or upgrades, and never changes existing settings and data.
set -eu

usage() {
    cat <<'TEXT'
usage: sudo ./systemd/install.sh [--without-hardware] [--upgrade | --uninstall] [--root DIR]
  --without-hardware  install without camera and pins (plain Debian has no picamera2)
  --upgrade           upgrade an existing installation
  --uninstall         remove the program, keep settings and data
  --root DIR          only create units, settings, user and folders below DIR;
                      install no packages or Python environment, start nothing
TEXT
}

source_dir=$(cd "$(dirname "$0")/.." && pwd)
root=
action=install
hardware=yes
user=fluocount
units="fluocount.socket fluocount.service"
min_free_mb=1500
log=/var/log/fluocount-install.log

say() { echo "fluocount: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --without-hardware) hardware=no ;;
            --upgrade) action=upgrade ;;
            --uninstall) action=uninstall ;;
            --root)
                [ $# -gt 1 ] || fail "--root needs a folder."
                [ -d "$2" ] || fail "--root expects an existing folder, got '$2'."
                root=$(cd "$2" && pwd)
                shift ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; fail "unknown option '$1'." ;;
        esac
        shift
    done
}

check_system() {
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run this as root: sudo $0"
    [ -r "$root/etc/os-release" ] || fail "$root/etc/os-release is missing; this needs Raspberry Pi OS or Debian."
    # shellcheck source=/dev/null
    release=$(. "$root/etc/os-release" && echo "${VERSION_CODENAME:-unknown}")
    case $release in
        bookworm) python_expected=3.11 ;;
        trixie) python_expected=3.13 ;;
        *) fail "this needs Raspberry Pi OS or Debian, Bookworm or Trixie, not '$release'. \
Write the current 64-bit Raspberry Pi OS Lite to the card." ;;
    esac
    architecture=$(dpkg --print-architecture)
    case $architecture in
        arm64 | amd64) ;;
        *) fail "this needs a 64-bit system, not $architecture. Write the 64-bit \
Raspberry Pi OS Lite to the card (there is no TFLite interpreter for 32 bit)." ;;
    esac
}

check_room() {
    free_mb=$(df --output=avail --block-size=1MB /opt | tail -n 1 | tr -d ' ')
    [ "$free_mb" -ge "$min_free_mb" ] ||
        fail "the card has $free_mb MB free, but $min_free_mb MB are needed; delete something first."
}

check_python() {
    python_found=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    [ "$python_found" = "$python_expected" ] || fail "/usr/bin/python3 is version $python_found, but \
$release comes with $python_expected; restore the system's python3."
}

logged() {
    "$@" >>"$log" 2>&1 </dev/null ||
        { tail -n 15 "$log" >&2; fail "'$1 $2' failed, see above and $log; check the network connection."; }
}

packages() {
    wanted="ca-certificates python3-venv python3-numpy python3-scipy avahi-daemon"
    export DEBIAN_FRONTEND=noninteractive
    say "installing packages (log: $log)"
    /usr/bin/python3 "$source_dir/systemd/wait_for_apt.py" || exit 1
    logged dpkg --configure --pending # a power cut in the middle of an earlier run
    logged apt-get -o DPkg::Lock::Timeout=600 update
    if [ "$hardware" = yes ]; then
        apt-cache show python3-picamera2 >/dev/null 2>&1 || fail "apt has no python3-picamera2, so \
this is not Raspberry Pi OS; run again with --without-hardware to install without camera and pins."
        wanted="$wanted python3-picamera2 python3-gpiozero python3-lgpio"
    fi
    # shellcheck disable=SC2086  # one word per package
    logged apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $wanted
}

# The name of the environment comes from its contents: an unchanged one is used again, a new one is
# built and tested beside the old one, which stays in use until then.
environment() {
    constraints=$source_dir/constraints/$release.txt
    snapshot=$(mktemp -d)
    trap 'rm -rf "$snapshot"' EXIT
    tar -C "$source_dir" -c --exclude=__pycache__ --exclude='*.keras' \
        pyproject.toml README.md LICENSE device trainer convert | tar -C "$snapshot" -x
    content=$(cd "$snapshot" && find . -type f -print0 | sort -z | xargs -0 cat "$constraints" |
        sha256sum | cut -c 1-12)
    venv=/opt/fluocount/venv-$release-$content
    if [ -e "$venv/complete" ]; then
        say "$venv is up to date"
        return
    fi
    say "building the Python environment $venv"
    rm -rf "$venv"
    mkdir -p /opt/fluocount
    /usr/bin/python3 -m venv --system-site-packages "$venv"
    logged "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        --constraint "$constraints" "${snapshot}[device]"
    readers
    "$venv/bin/python" - <<'PYTHON' || { rm -rf "$venv"; exit 1; }
import sys, numpy, scipy
for module in (numpy, scipy):
    if not module.__file__.startswith("/usr/lib/python3/"):
        sys.exit(f"install.sh: {module.__file__} hides apt's {module.__name__}, which picamera2 needs.")
PYTHON
    touch "$venv/complete"
}

# Files as microscopes write them: each reader where it goes with this system's versions, none is needed.
readers() {
    for reader in czifile nd2 liffile oiffile; do
        if "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
            --constraint "$constraints" "$reader" >>"$log" 2>&1 </dev/null &&
            "$venv/bin/python" -c "import $reader" >>"$log" 2>&1; then
            continue
        fi
        "$venv/bin/python" -m pip uninstall --yes "$reader" >>"$log" 2>&1 </dev/null || true
        say "the package $reader does not go with this system: its files must be exported as TIFF (all else works)"
    done
}

place() { # source, target, mode
    install -D -m "$3" "$source_dir/systemd/$1" "$root$2"
}

files() {
    for unit in fluocount.socket fluocount.service fluocount-watch@.service; do
        place "$unit" "/etc/systemd/system/$unit" 644
    done
    place sysusers.conf /etc/sysusers.d/fluocount.conf 644
    place tmpfiles.conf /etc/tmpfiles.d/fluocount.conf 644
    place avahi.service /etc/avahi/services/fluocount.service 644
    place polkit.rules /etc/polkit-1/rules.d/50-fluocount.rules 644
    systemd-sysusers --root="$root/" fluocount.conf
    systemd-tmpfiles --root="$root/" --create fluocount.conf
    if [ -e "$root/etc/fluocount/fluocount.toml" ]; then
        say "the settings in /etc/fluocount/fluocount.toml stay as they are"
    else
        place fluocount.toml /etc/fluocount/fluocount.toml 644
    fi
    install -d "$root/opt/fluocount/doc"
    install -m 644 "$source_dir"/docs/*.md "$root/opt/fluocount/doc"
    # shellcheck disable=SC2086  # one word per unit
    systemctl --root="$root/" --quiet enable $units
}

as_user() {
    runuser -u "$user" -- env HOME=/var/lib/fluocount FLUOCOUNT_CONFIG=/etc/fluocount/fluocount.toml "$@"
}

self_test() { # of the environment in $1
    as_user "$1/bin/fluocount" doctor
}

keep_copy() { # of settings and database, before the new program sees them
    [ -e /var/lib/fluocount/fluocount.sqlite ] || return 0
    copy=/var/lib/fluocount/before-upgrade-$(date +%Y%m%d-%H%M%S).tar
    as_user /opt/fluocount/venv/bin/fluocount backup --without-results "$copy"
    say "settings and database copied to $copy"
}

switch_to() { # the environment in $1, in one step
    ln -sfn "$1" /opt/fluocount/venv.new
    mv -T /opt/fluocount/venv.new /opt/fluocount/venv
    ln -sfn /opt/fluocount/venv/bin/fluocount /usr/local/bin/fluocount
}

remove_others() { # environments but the one in $1
    for old in /opt/fluocount/venv-*; do
        [ "$old" = "$1" ] || rm -rf "$old"
    done
}

start() {
    if [ ! -d /run/systemd/system ]; then
        say "systemd is not running: the units are installed and enabled, but not started"
        return
    fi
    systemctl daemon-reload
    # shellcheck disable=SC2086
    systemctl restart $units
}

install_all() {
    installed=no
    [ ! -e /opt/fluocount/venv/bin/fluocount ] || installed=yes
    [ "$action" != upgrade ] || [ "$installed" = yes ] ||
        fail "fluocount is not installed yet; run this without --upgrade."
    check_room
    packages
    check_python
    environment
    if [ "$installed" = yes ] && [ "$(readlink /opt/fluocount/venv)" != "$venv" ]; then
        self_test "$venv" || { rm -rf "$venv"; fail "the self-test of the new version failed; \
the old one stays in use."; }
        keep_copy
    fi
    files
    switch_to "$venv"
    start
    remove_others "$venv"
    healthy=yes
    self_test "$venv" || healthy=no
    [ "$hardware" = yes ] ||
        say "installed without camera, button and status LED (--without-hardware)"
    [ "$healthy" = yes ] || say "the self-test found a problem: do what it says above, then run: fluocount doctor"
    announce
    [ "$healthy" = yes ]
}

announce() { # the last line: the address of the page, and the set-up code until it has been used
    port=
    if [ -d /run/systemd/system ]; then
        port=$(systemctl show --property=Listen --value fluocount.socket | sed -n 's/.*:\([0-9]*\) .*/\1/p')
    fi
    address=http://$(hostname).local
    [ "${port:-80}" = 80 ] || address=$address:$port
    code=$(cat /var/lib/fluocount/setup-code 2>/dev/null || true)
    if [ -n "$code" ]; then
        say "the page: $address   the set-up code: $code"
    elif [ -d /run/systemd/system ]; then
        say "the page: $address   (log in with your password)"
    else
        say "the page: $address after the start; fluocount serve prints the set-up code"
    fi
}

uninstall() {
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        # shellcheck disable=SC2086
        systemctl disable --quiet --now $units 'fluocount-watch@*.service' 2>/dev/null || true
    fi
    # shellcheck disable=SC2086
    systemctl --root="$root/" --quiet disable $units 2>/dev/null || true
    rm -rf "$root/opt/fluocount"
    rm -f "$root/usr/local/bin/fluocount" "$root/etc/avahi/services/fluocount.service" \
        "$root"/etc/systemd/system/fluocount.s* "$root/etc/systemd/system/fluocount-watch@.service" \
        "$root/etc/sysusers.d/fluocount.conf" "$root/etc/tmpfiles.d/fluocount.conf" \
        "$root/etc/polkit-1/rules.d/50-fluocount.rules"
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    say "removed. Settings (/etc/fluocount), data (/var/lib/fluocount) and the user $user remain"
}

parse "$@"
if [ "$action" = uninstall ]; then
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "must run as root: sudo $0 --uninstall"
    uninstall
elif check_system && [ -n "$root" ]; then
    files
    say "units, settings, user and folders created below $root; with --root nothing else is installed or started"
else
    install_all
fi
