# shellcheck shell=bash
# Sourced by run.sh and test.sh: finds Python, installs what is missing, keeps the environment in .venv.
#
# A stamp in .venv holds a hash of everything the environment was made from; while it fits, nothing
# is done. Delete .venv to start over.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
CONSTRAINTS="$ROOT/installers/constraints.txt"
SYSTEM_LIBRARIES="$ROOT/resources/system-libraries.txt"
LOG="$VENV/install.log"
TORCH_CPU_INDEX="https://download.pytorch.org/whl/cpu"

say() { printf '%s\n' "$@" >&2; }

# fail MESSAGE [HINT...]: say it and stop.
fail() {
    say "" "error: $1"
    shift
    for hint in "$@"; do say "       $hint"; done
    exit 1
}

find_python() {
    local candidate
    for candidate in python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Triptych needs Python 3.11, and neither 'python3.11' nor 'python3' is one." \
        "On Debian 12: apt-get install python3 python3-venv"
}

# The packages that PYTHON ($1) and the window lack on this system, one a line; with "test" ($2)
# also what the tests need.
missing_packages() {
    local known library package
    known="$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null || true)"
    while read -r library package; do
        [[ -z $library || $library == \#* || $known == *$'\t'"$library ("* ]] || echo "$package"
    done <"$SYSTEM_LIBRARIES"
    "$1" -c 'import ensurepip, venv' 2>/dev/null ||
        "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
    [[ $2 != test ]] || command -v Xvfb >/dev/null || echo xvfb
}

install_packages() {
    local -a as_root=()
    if ! command -v apt-get >/dev/null; then
        say "There is no apt-get here to install them."
        return 1
    fi
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            say "You are not root and there is no sudo."
            return 1
        fi
        as_root=(sudo)
        [[ -t 0 ]] || as_root+=(-n)
    fi
    "${as_root[@]}" apt-get update -qq >&2 || say "The package lists could not be updated; trying with the old ones."
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Bring in what missing_packages finds; where that is impossible, say what to install.
ensure_packages() {
    local -a missing
    mapfile -t missing < <(missing_packages "$1" "$2")
    ((${#missing[@]})) || return 0
    say "Installing system packages: ${missing[*]}"
    install_packages "${missing[@]}" || true
    mapfile -t missing < <(missing_packages "$1" "$2")
    ((${#missing[@]})) || return 0
    say "" "These system packages are missing:" "    ${missing[*]}" "Install them with" \
        "    sudo apt-get install ${missing[*]}" ""
    [[ " ${missing[*]} " != *-venv\ * ]] || fail "Without its venv package Python cannot make an environment."
    [[ $2 == run ]] || [[ ${missing[*]} == xvfb ]] || fail "The window's tests need these packages; nothing was tested."
    say "Only the window needs them: going on without."
}

torch_build() {
    if [[ -n ${TRIPTYCH_TORCH:-} ]]; then
        echo "$TRIPTYCH_TORCH"
    elif [[ -e /dev/nvidiactl || -e /usr/lib/wsl/lib/nvidia-smi ]]; then
        echo cuda
    else
        echo cpu
    fi
}

# Quiet but for what takes long; everything goes to the log.
pip_install() {
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input \
        --constraint "$CONSTRAINTS" "$@" 2>&1 |
        tee -a "$LOG" | sed -un 's/^ *\(Downloading .*\|Installing collected packages\).*/    \1/p' >&2
}

# The CPU build by its full name, so that the CUDA build (gigabytes) can never come instead of it:
# first from wherever pip looks anyway, then from PyTorch's own index, where an ordinary machine
# finds it.
install_torch() {
    local version
    version="$(sed -n 's/^torch==//p' "$CONSTRAINTS")"
    if [[ $(torch_build) == cuda ]]; then
        say "  PyTorch $version for NVIDIA GPUs: about 3 GB (TRIPTYCH_TORCH=cpu takes the small build)"
        pip_install "torch==$version"
    else
        say "  PyTorch $version for the CPU: about 200 MB (TRIPTYCH_TORCH=cuda takes the one for NVIDIA GPUs)"
        pip_install "torch==$version+cpu" ||
            pip_install --extra-index-url "$TORCH_CPU_INDEX" "torch==$version+cpu"
    fi
}

install_python_packages() {
    local project=$ROOT
    [[ $1 != test ]] || project+='[dev]'
    : >"$LOG"
    say "Installing Python packages into .venv (minutes at the first time):"
    if ! { pip_install setuptools && install_torch &&
        pip_install --no-build-isolation --editable "$project"; }; then
        say "" "The last lines of $LOG:"
        tail -n 8 "$LOG" | sed 's/^/    /' >&2
        fail "The Python packages could not be installed, so Triptych cannot start yet." \
            "Without a network? Connect and run this again: it goes on where it stopped." \
            "If it fails again, delete the folder .venv and start over. Your projects are elsewhere."
    fi
}

environment_key() {
    {
        echo "$VENV" "$(torch_build)"
        cat "$CONSTRAINTS" "$SYSTEM_LIBRARIES" "$ROOT/pyproject.toml"
    } | sha256sum | cut -d' ' -f1
}

environment_fits() {
    local stamp="$VENV/triptych-$1.stamp"
    [[ -x $VENV/bin/python && -f $stamp && $(<"$stamp") == "$2" ]]
}

# ensure_environment run|test: afterwards .venv has what running, or testing, needs. FRESH is 1 when
# something was installed.
ensure_environment() {
    local key python lock
    FRESH=0
    key="$(environment_key)"
    if environment_fits "$1" "$key"; then return; fi
    # Two installations at once would spoil each other: the second waits, and finds it done.
    exec {lock}<"$ROOT/installers"
    flock --nonblock "$lock" || { say "Waiting for another installation here to end."; flock "$lock"; }
    if environment_fits "$1" "$key"; then return; fi
    FRESH=1
    python="$(find_python)"
    say "Triptych's environment, with $("$python" --version) from $python"
    ensure_packages "$python" "$1"
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear "$VENV" >&2 ||
            fail "The folder $VENV cannot be made." "Is the disk full, or the checkout read-only?"
    fi
    install_python_packages "$1"
    echo "$key" >"$VENV/triptych-run.stamp"
    [[ $1 != test ]] || echo "$key" >"$VENV/triptych-test.stamp"
    exec {lock}<&-
    say "The environment is ready ($SECONDS s)."
}
