#!/usr/bin/env bash
# Opens Triptych on its example project, after making and checking the environment where needed.
# Without a display the same example jobs run without a window. Arguments go to `triptych example`.
set -euo pipefail
# shellcheck source=installers/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ensure_environment run
triptych="$VENV/bin/triptych"
if ((!FRESH)) && ! "$triptych" doctor --quick --quiet >&2; then
    say "Installing again, in case something was lost."
    rm -f "$VENV"/triptych-*.stamp
    ensure_environment run
fi
if ((FRESH)); then
    "$triptych" doctor >&2 ||
        fail "Triptych cannot run here, for the reasons above." \
            "If a Python package is damaged: delete the folder .venv and run this again."
fi
exec "$triptych" example --open "$@"
