#!/bin/sh
# Makes ready what a command needs, and does nothing where it is ready: the virtual environment (.venv) from
# the exact versions of requirements/dev.txt, and a Docker engine that answers.
#
#   scripts/setup.sh             environment and engine
#   scripts/setup.sh python      the environment alone
#   scripts/setup.sh checkers    what only `make check` needs: shellcheck, and checkov in .venv-checkov
#   scripts/setup.sh stop        stops the engine, if this script started it
#
# As root on Debian it installs what is missing. Elsewhere it says what is missing and what to type.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .cache
PID=.cache/dockerd.pid
LOG=.cache/dockerd.log

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    printf 'setup: error: %s: %s. %s\n' "$1" "$2" "$3" >&2
    exit 69
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; }

updated=
apt_install() {
    say "installing $*"
    [ -n "$updated" ] || apt-get update -qq
    updated=yes
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" > .cache/apt.log 2>&1 ||
        fail "cannot install $*" "apt-get failed, see .cache/apt.log" "Install it by hand, and try again."
}

# A Python that the code runs on, with what a virtual environment is made of.
python() {
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" > /dev/null &&
            "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# A virtual environment with what a file of requirements names.
environment() {
    wanted=$(cat "$2" scripts/setup.sh | sha256sum)
    if [ -x "$1/bin/python" ] && [ "$(cat "$1/.made-from" 2> /dev/null)" = "$wanted" ]; then return; fi
    if [ -z "$(python)" ] && can_install; then apt_install python3 python3-venv; fi
    interpreter=$(python)
    [ -n "$interpreter" ] || fail "no Python" "Python 3.11 or later with its venv module is not there" \
        "Install it (Debian: apt-get install python3 python3-venv)."
    say "making $1 with $("$interpreter" --version)"
    "$interpreter" -m venv --clear "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$2" 2> .cache/pip.log ||
        fail "cannot install the Python packages" "$(tail -n 1 .cache/pip.log)" "See .cache/pip.log; check the package index that pip uses."
    echo "$wanted" > "$1/.made-from"
}

checkers() {
    command -v shellcheck > /dev/null && return
    if can_install; then
        apt_install shellcheck
    else
        say "shellcheck is not there, and its tests will be skipped (Debian: apt-get install shellcheck)"
    fi
}

answers() { docker version > /dev/null 2>&1; }

engine() {
    if answers; then return; fi
    if [ -n "${DOCKER_HOST:-}" ]; then
        fail "no Docker engine at $DOCKER_HOST" "it does not answer" "Start it, or unset DOCKER_HOST."
    fi
    if [ "$(id -u)" != 0 ]; then
        if [ -S /var/run/docker.sock ]; then
            fail "cannot use the Docker engine" "user $(id -un) may not open /var/run/docker.sock, or the engine is down" \
                "Type: sudo usermod -aG docker $(id -un), and log in again; or: sudo systemctl start docker."
        fi
        fail "no Docker engine" "none answers, and only root can install and start one" \
            "Type: sudo apt-get install docker.io, then: sudo systemctl start docker; or run this as root."
    fi
    if ! command -v dockerd > /dev/null || ! command -v docker > /dev/null || ! command -v iptables > /dev/null; then
        can_install || fail "no Docker engine" "dockerd is not installed, and this is not Debian" "Install Docker, and try again."
        apt_install docker.io iptables
    fi
    answers && return # the package may have started it
    if command -v systemctl > /dev/null && [ -d /run/systemd/system ]; then
        systemctl start docker || true
    else
        say "starting dockerd (log: $LOG)"
        setsid dockerd > "$LOG" 2>&1 < /dev/null &
        echo $! > "$PID"
    fi
    tries=0
    until answers; do
        tries=$((tries + 1))
        [ $tries -le 120 ] || fail "the Docker engine does not answer" "it was started a minute ago" "See $LOG."
        sleep 0.5
    done
}

stop() {
    [ -s "$PID" ] || return 0
    process=$(cat "$PID")
    # `setsid` forks where it leads a process group already: the engine is the child then.
    if grep -qa dockerd "/proc/$process/cmdline" 2> /dev/null; then
        kill "$process"
        while kill -0 "$process" 2> /dev/null; do sleep 0.1; done
        say "stopped dockerd ($process)"
    fi
    rm -f "$PID"
}

case ${1:-start} in
    start)
        environment .venv requirements/dev.txt
        engine
        ;;
    python) environment .venv requirements/dev.txt ;;
    checkers)
        environment .venv-checkov requirements/checkov.txt
        checkers
        ;;
    stop) stop ;;
    *) fail "unknown word '$1'" "it is not start, python, checkers or stop" "Type: scripts/setup.sh, or scripts/setup.sh stop." ;;
esac
