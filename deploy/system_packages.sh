#!/bin/sh
# Installs the Debian packages that are missing, and says in one line which one it could not install.
#
#   system_packages.sh required|wanted PYTHON GROUP...      GROUP: venv | print | broker | timeseries | node
#
# required: exit 1 when something is still missing at the end; wanted: say so and exit 0.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin" # where Debian keeps mosquitto, but not on everybody's PATH
need=$1 python=$2
shift 2

# What is looked for is what the program will open, not the package's record: the names below are Debian's, but a
# library that came from elsewhere serves as well.
loads() { "$python" -c "import ctypes, sys; ctypes.CDLL(sys.argv[1])" "$1" 2>/dev/null; }
present() {
    case $1 in
    python3*-venv) "$python" -c "import ensurepip, venv" 2>/dev/null ;;
    libpango-1.0-0) loads libpango-1.0.so.0 ;;
    libpangoft2-1.0-0) loads libpangoft2-1.0.so.0 ;;
    libharfbuzz-subset0) loads libharfbuzz-subset.so.0 ;;
    fonts-dejavu-core) [ -n "$(fc-list 2>/dev/null)" ] ;;
    mosquitto | victoria-metrics) command -v "$1" >/dev/null ;;
    influxdb) command -v influxd >/dev/null ;;
    nodejs) command -v node >/dev/null ;;
    npm) command -v npm >/dev/null ;;
    *) return 1 ;;
    esac
}

packages=
for group; do
    case $group in
    venv) packages="$packages python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" ;;
    print) packages="$packages libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core" ;;
    broker) packages="$packages mosquitto" ;;
    timeseries) packages="$packages influxdb victoria-metrics" ;;
    node) packages="$packages nodejs npm" ;;
    *) echo "system_packages.sh: no such group: $group" >&2 && exit 2 ;;
    esac
done

missing() { for package in $packages; do present "$package" || printf ' %s' "$package"; done; }

# A password is asked for at a terminal only; elsewhere sudo must need none.
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    [ -t 0 ] || as_root="sudo -n"
fi
apt() {
    # shellcheck disable=SC2086  # the words of $as_root are wanted apart
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" >/dev/null 2>&1
}

lacking=$(missing)
[ -n "$lacking" ] || exit 0
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || command -v sudo >/dev/null; }; then
    echo "installing the system packages:$lacking"
    apt update || true # an old list may still name packages that can be had
    for package in $lacking; do apt install -y --no-install-recommends "$package" || true; done
fi

lacking=$(missing)
[ -n "$lacking" ] || exit 0
if [ "$need" = wanted ]; then
    echo "going on without the system packages that cannot be installed here:$lacking" >&2
else
    echo "system packages that are needed and cannot be installed here, install them by hand:$lacking" >&2
    exit 1
fi
