#!/bin/sh
# Install the Debian/Ubuntu packages that the tests need: GStreamer's RTSP server, which runs with
# the system's own Python, the MQTT broker mosquitto, PostgreSQL, MariaDB and nginx, which the
# tests start in folders of their own, and the browser Chromium. Quick when all is there; installs only
# what is missing; without root or password-less sudo it prints the command to run and exits 1. The
# product itself needs none of it.
#
#   scripts/system-deps.sh            install what is missing
#   scripts/system-deps.sh --check    install nothing, say what is missing (exit 1 if any)
set -eu

PACKAGES="python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
gstreamer1.0-plugins-bad mosquitto postgresql mariadb-server-core mariadb-client-core nginx-light"
# The dashboard is looked at in a real browser. Ubuntu has Chromium as a snap only: install it there
# by hand, or have these tests skipped.
if ! command -v chromium >/dev/null 2>&1 && grep -qs '^ID=debian' /etc/os-release; then
    PACKAGES="$PACKAGES chromium"
fi

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    echo "system-deps: this is no Debian or Ubuntu; install GStreamer's RTSP server with its" \
        "Python bindings (gi, GstRtspServer 1.0) and the plugins base, good and bad," \
        "mosquitto, PostgreSQL, MariaDB's server and client, and nginx" >&2
    exit 1
fi

missing=""
for package in $PACKAGES; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command_line="apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends$missing"
if [ "${1:-}" = --check ]; then
    echo "system-deps: missing:$missing; run: sudo $command_line" >&2
    exit 1
fi

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "system-deps: the tests need packages that only root can install. Run:" >&2
    echo "    sudo apt-get update && sudo $command_line" >&2
    exit 1
fi

echo "system-deps: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # words are wanted: the prefix and the package list
{
    $as_root apt-get -o DPkg::Lock::Timeout=120 update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive $command_line -qq >/dev/null
} || {
    echo "system-deps: apt-get failed; run: sudo apt-get update && sudo $command_line" >&2
    exit 1
}
