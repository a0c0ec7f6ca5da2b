#!/usr/bin/env bash
# Runs every check of the default suite, after making the environment where needed. Arguments go to
# pytest: `bash installers/test.sh tests/engine -k schedule`.
set -euo pipefail
# shellcheck source=installers/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ensure_environment test
cd "$ROOT"
PATH="$VENV/bin:$PATH"
failed=()

check() {
    say "" "== $*"
    "$@" || failed+=("${*:1:2}")
}

# An X server of our own with OpenGL in software, so that the window's tests see the same on every
# machine and none of their windows appears on the user's screen.
start_display() {
    unset DISPLAY WAYLAND_DISPLAY
    if ! command -v Xvfb >/dev/null; then
        say "Xvfb is not installed: tests that need a real display are left out."
        return
    fi
    coproc XVFB { exec Xvfb -displayfd 1 -screen 0 1920x1200x24 -nolisten tcp 2>/dev/null; }
    xvfb_process=$XVFB_PID
    trap 'kill "$xvfb_process" 2>/dev/null || true' EXIT
    local number
    read -r -t 30 number <&"${XVFB[0]:-}" || fail "The X server for the tests (Xvfb) did not start."
    export DISPLAY=":$number" LIBGL_ALWAYS_SOFTWARE=1 QT_QPA_PLATFORM=xcb
}

check ruff check .
check ruff format --check .
check mypy --no-error-summary
check lint-imports --no-logo
start_display
check pytest "$@"

say ""
if ((${#failed[@]})); then
    IFS=,
    say "FAILED after $SECONDS s: ${failed[*]}"
    exit 1
fi
say "All checks passed in $SECONDS s."
