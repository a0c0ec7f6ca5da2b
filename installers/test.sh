#!/usr/bin/env bash
# Runs every check of the default suite, after making the environment where needed. Arguments go to
# pytest: `bash installers/test.sh tests/engine -k schedule`.
set -euo pipefail
# shellcheck source=installers/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ensure_environment test
cd "$ROOT"
PATH="$VENV/bin:$PATH"
PROCESSES=2
failed=() servers=() displays=()

check() {
    say "" "== $*"
    "$@" || failed+=("${*:1:2}")
}

# X servers of our own with OpenGL in software, so that the window's tests see the same on every
# machine and none of their windows appears on the user's screen. One for each process: windows of
# two on one display would take the keyboard from each other.
start_displays() {
    unset DISPLAY WAYLAND_DISPLAY
    if ! command -v Xvfb >/dev/null; then
        say "Xvfb is not installed: tests that need a real display are left out."
        return
    fi
    local number output process
    trap 'kill "${servers[@]}" 2>/dev/null || true' EXIT
    for ((process = 0; process < PROCESSES; process++)); do
        exec {output}< <(exec Xvfb -displayfd 1 -screen 0 1920x1200x24 -nolisten tcp 2>/dev/null)
        servers+=("$!")
        read -r -t 30 number <&"$output" || fail "An X server for the tests (Xvfb) did not start."
        displays+=(":$number")
    done
    export TRIPTYCH_TEST_DISPLAYS="${displays[*]}" LIBGL_ALWAYS_SOFTWARE=1 QT_QPA_PLATFORM=xcb
}

check ruff check .
check ruff format --check .
check mypy --no-error-summary
check lint-imports --no-logo
start_displays
# Each process computes on one core; a file's tests stay together, they share what is slow to make.
export OMP_NUM_THREADS=1
check pytest --numprocesses "$PROCESSES" --dist loadfile "$@"

say ""
if ((${#failed[@]})); then
    IFS=,
    say "FAILED after $SECONDS s: ${failed[*]}"
    exit 1
fi
say "All checks passed in $SECONDS s."
