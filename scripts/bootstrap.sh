#!/bin/sh
# Make the virtual environment $1 hold what the requirement files $2 ... pin. Does nothing, in some 30 ms, when it does already.
# PYTHON names the interpreter to use; otherwise each that is found is run, because a name on the PATH may be a shim that starts nothing.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
venv=$1

if [ -z "${PYTHON:-}" ] && "$venv/bin/python" -I scripts/bootstrap.py --is-current "$@" >/dev/null 2>&1; then
    exit 0
fi

# Answers "ok PATH", "novenv VERSION" or "version VERSION"; written so that Python 2 can answer too.
probe='
import sys
version = "%d.%d" % sys.version_info[:2]
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    print("version " + version)
    sys.exit()
import sysconfig
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("version %s, free-threaded or not CPython" % version)
    sys.exit()
try:
    import ensurepip, venv
except ImportError:
    print("novenv " + version)
else:
    print("ok " + sys.executable)
'
unfit=
novenv=
# Run $1, and become it when it is fit; the rest are this script's own arguments.
try() {
    name=$1
    shift
    answer=$("$name" -I -c "$probe" 2>/dev/null </dev/null) || answer=$("$name" -c "$probe" 2>/dev/null </dev/null) || return 0
    case $answer in
    "ok "*) exec "${answer#ok }" -I scripts/bootstrap.py ${PYTHON:+--exactly} "$@" ;;
    "novenv "*) novenv=${novenv:-${answer#novenv }} ;;
    "version "*) unfit="${unfit:+$unfit, }$name is ${answer#version }" ;;
    esac
}
if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON" "$@"
else
    for candidate in python3.14 python3.13 python3.12 python3.11 python3 python; do
        try "$candidate" "$@"
    done
fi

if [ -n "$novenv" ]; then
    echo "Python $novenv is here without its venv module: install it (Debian, Ubuntu: apt-get install python$novenv-venv) and run this again." >&2
elif [ -n "$unfit" ]; then
    echo "Sluice needs CPython 3.11 to 3.14, and found none ($unfit): install one, or name one with PYTHON=/path/to/python3." >&2
elif [ -n "${PYTHON:-}" ]; then
    echo "PYTHON=$PYTHON does not run: name a CPython 3.11 to 3.14, or leave PYTHON out." >&2
else
    echo "Sluice needs Python 3.11 to 3.14, and no Python that runs is on the PATH: install one, or name one with PYTHON=/path/to/python3." >&2
fi
exit 1
