# Shared by ./run and ./test: the virtual environment and Qt's system libraries. POSIX sh, sourced.

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    say "Expected Python 3.11, 3.12 or 3.13, found none; install it (Debian/Ubuntu: sudo apt-get install python3 python3-venv) or set PYTHON."
    return 1
}

# make_venv DIR EXTRAS: installs this folder into DIR once, and again when pyproject.toml changes.
make_venv() {
    stamp="$(cksum pyproject.toml | cut -d' ' -f1) $2"
    if [ "$(cat "$1/.vigil-stamp" 2>/dev/null || true)" = "$stamp" ]; then return 0; fi
    python="$(find_python)"
    say "Setting up $1 with $python (once; a minute or two) …"
    if ! "$python" -m venv "$1"; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null && "$python" -m venv "$1"
        else
            say "Python's venv module is missing; run: sudo apt-get install python3-venv"
            return 1
        fi
    fi
    "$1/bin/python" -m pip install --quiet --upgrade pip
    # pip compiles one file after the other, of 14,000; compileall takes every processor. Some packages bring files of
    # another Python, at which it ends with 1.
    "$1/bin/python" -m pip install --quiet --no-compile -e ".${2:+[$2]}"
    "$1/bin/python" -m compileall -qq -j 0 "$1/lib" >/dev/null || true
    printf '%s' "$stamp" >"$1/.vigil-stamp"
}

# Shared library that Qt loads at run time = Debian's package that has it (newer releases know the name as an alias).
QT_LIBRARIES="libglib-2.0.so.0=libglib2.0-0 libEGL.so.1=libegl1 libGL.so.1=libgl1 libfontconfig.so.1=libfontconfig1
libdbus-1.so.3=libdbus-1-3 libxkbcommon.so.0=libxkbcommon0 libxkbcommon-x11.so.0=libxkbcommon-x11-0
libxcb-cursor.so.0=libxcb-cursor0 libxcb-icccm.so.4=libxcb-icccm4 libxcb-image.so.0=libxcb-image0
libxcb-keysyms.so.1=libxcb-keysyms1 libxcb-randr.so.0=libxcb-randr0 libxcb-render-util.so.0=libxcb-render-util0
libxcb-shape.so.0=libxcb-shape0 libxcb-xkb.so.1=libxcb-xkb1"

# Qt names only the first library that is missing, so all are asked for at once.
want_qt_libraries() {
    [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null 2>&1 || return 0
    known="$(/sbin/ldconfig -p 2>/dev/null || true)"
    missing=""
    for pair in $QT_LIBRARIES; do
        case "$known" in
            *"${pair%%=*}"*) ;;
            *) missing="$missing ${pair#*=}" ;;
        esac
    done
    [ -d /usr/share/fonts/truetype/dejavu ] || missing="$missing fonts-dejavu-core"
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        say "Installing the system libraries that Qt needs:$missing"
        # shellcheck disable=SC2086
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null && return 0
    fi
    say "Qt needs these system libraries for the display:$missing"
    say "Install them with: sudo apt-get install$missing"
}
