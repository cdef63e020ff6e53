# shellcheck shell=bash
# The demo cluster: a private PostgreSQL 18 below $ONYX_HOME/demo. Sourced, never run.
#
# It listens on a Unix socket in that directory, which only the server's user (and root) can
# enter, and for ORMs on a loopback port with a password of its own.

DEMO=$ONYX_HOME/demo
DEMO_BIN=$(dirname "$ONYX_PG_CONFIG")
export DEMO_DATABASE=demo

demo_runs() {
    [ -f "$DEMO/data/postmaster.pid" ] && demo_ctl status >/dev/null 2>&1
}

# The server's user may not be able to enter the caller's directory, hence the cd.
demo_ctl() { (cd / && as_server "$DEMO_BIN/pg_ctl" -D "$DEMO/data" "$@"); }

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

demo_create() {
    [ ! -f "$DEMO/data/PG_VERSION" ] || return 0
    say "creating the demo cluster in $DEMO"
    rm -rf "$DEMO"
    mkdir -p "$DEMO"
    chmod 700 "$DEMO"
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$DEMO/password"
    chmod 600 "$DEMO/password"
    chown -R "$(server_user)" "$DEMO"
    (cd / && as_server "$DEMO_BIN/initdb" --pgdata "$DEMO/data.new" --username postgres \
        --encoding UTF8 --locale-provider builtin --locale C.UTF-8 \
        --auth-local trust --auth-host scram-sha-256 --pwfile "$DEMO/password") \
        >"$LOG_DIR/initdb.log" 2>&1 ||
        die "initdb failed (see $LOG_DIR/initdb.log): repair that and run this again"
    cat >>"$DEMO/data.new/postgresql.conf" <<END

# Onyx demo
shared_preload_libraries = 'onyx'
unix_socket_directories = '$DEMO'
listen_addresses = '127.0.0.1'
include_if_exists = 'port.conf'
END
    mv "$DEMO/data.new" "$DEMO/data"
}

demo_start() {
    ! demo_runs || return 0
    local port
    port=$(cat "$DEMO/port" 2>/dev/null || echo 5440)
    until port_is_free "$port"; do
        port=$((port + 1))
        [ "$port" -lt 5500 ] || die "no port between 5440 and 5499 is free on this machine: free one and run this again"
    done
    echo "$port" >"$DEMO/port"
    echo "port = $port" >"$DEMO/data/port.conf"
    demo_ctl start --wait --timeout 60 --silent --log "$DEMO/server.log" >/dev/null 2>&1 </dev/null || {
        tail -n 20 "$DEMO/server.log" >&2
        die "the demo cluster does not start: the last lines of $DEMO/server.log, above, say why"
    }
}

demo_stop() {
    ! demo_runs || demo_ctl stop --wait --timeout 120 --mode fast --silent ||
        die "the demo cluster does not stop: look into $DEMO/server.log for what it waits for"
}

# demo_psql ARGUMENT...: without the user's own psqlrc, so that it looks the same for everybody.
demo_psql() {
    "$DEMO_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$DEMO" -p "$(cat "$DEMO/port")" -U postgres "$@"
}
