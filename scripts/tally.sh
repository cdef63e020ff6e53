# shellcheck shell=bash
# Runs steps, keeps their whole output in a log, and counts what passed and failed. Sourced.

tally_begin() {
    TALLY_LOG=$LOG_DIR/$1.log
    TALLY_PASSED=0
    TALLY_FAILED=0
    TALLY_START=$SECONDS
    mkdir -p "$LOG_DIR"
    : >"$TALLY_LOG"
}

# run_step LABEL COMMAND...: shows the label, then the time; a failed step's output is shown too.
# Leaves what the step wrote in $TALLY_STEP.
run_step() {
    local label=$1 start=$SECONDS status=0 verdict=ok
    shift
    TALLY_STEP=$TALLY_LOG.step
    printf '%-44s ' "$label"
    printf '\n=== %s: %s\n' "$label" "$*" >>"$TALLY_LOG"
    "$@" >"$TALLY_STEP" 2>&1 </dev/null || status=$?
    sed -i -E 's/\x1b(\[[0-9;]*m|\(B)//g' "$TALLY_STEP"
    cat "$TALLY_STEP" >>"$TALLY_LOG"
    [ "$status" -eq 0 ] || verdict=FAILED
    printf '%-6s %s\n' "$verdict" "$(duration $((SECONDS - start)))"
    return "$status"
}

# step LABEL COMMAND...: counts as one that passed or failed.
step() {
    if run_step "$@"; then
        TALLY_PASSED=$((TALLY_PASSED + 1))
    else
        TALLY_FAILED=$((TALLY_FAILED + 1))
        tail -n 80 "$TALLY_STEP"
        return 1
    fi
}

# tests LABEL COMMAND...: counts the tests that the command's output reports: cargo test's result
# lines, and pg_regress's "ok" and "not ok". A command that fails without reporting a failed test,
# or reports no test at all, counts as one failure.
tests() {
    local status=0 passed failed
    run_step "$@" || status=$?
    read -r passed failed < <(awk '
        /^test result: / {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^passed;/) passed += $i
                if ($(i + 1) ~ /^failed;/) failed += $i
            }
        }
        /^ok [0-9]+ +- / { passed++ }
        /^not ok [0-9]+ +- / { failed++ }
        END { print passed + 0, failed + 0 }' "$TALLY_STEP")
    [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    if [ $((passed + failed)) -eq 0 ]; then
        echo "  no test ran"
        failed=1
    fi
    printf '  %d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ] || show_failures
    TALLY_PASSED=$((TALLY_PASSED + passed))
    TALLY_FAILED=$((TALLY_FAILED + failed))
}

# What each failed test printed; or, when nothing compiled, the end of the output.
show_failures() {
    if grep -q '^failures:$' "$TALLY_STEP"; then
        sed -n '/^failures:$/,/^test result:/p' "$TALLY_STEP" | head -n 300
    else
        tail -n 80 "$TALLY_STEP"
    fi
}

# The last line is the counts; the status says whether anything failed.
tally_end() {
    rm -f "$TALLY_LOG.step"
    printf '\n%s in all; the whole output is in %s\n' "$(duration $((SECONDS - TALLY_START)))" "$TALLY_LOG"
    printf '%d passed, %d failed\n' "$TALLY_PASSED" "$TALLY_FAILED"
    [ "$TALLY_FAILED" -eq 0 ]
}
