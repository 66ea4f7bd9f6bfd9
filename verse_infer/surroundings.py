"""What a process is started in and must not depend on: closed streams, the host's packages and libraries.

Daemons and window managers start programs without standard streams. Apptainer and Singularity hand the
host's environment into the container, PYTHONPATH, PYTHONHOME and LD_LIBRARY_PATH included, and start it
in the host's working folder. So this module comes before all others, and imports only what Python itself
has loaded by then: anything else may be a stranger's of that name.
"""

import os
import sys

_LIBRARIES = "LD_LIBRARY_PATH"
#: How the names of the graphics card's driver and of its libraries begin. They may come from outside, by
#: that variable alone (Apptainer's --nv, /usr/local/cuda).
_CARD = "libcuda"
#: A folder with this library shadows what the packages were built with.
_COMMON = "libstdc++.so"
#: Folder in which this package lies.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_RUN_MODULE = """
import runpy, sys
root, module, *arguments = sys.argv[1:]
sys.path.insert(0, root)
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def open_standard_streams() -> None:
    """Open the null device as whichever of standard input, output and error is closed.

    Else the next file or pipe gets its number, and what libraries print goes into that.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def isolated_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module which lies beside this package, or in its environment.

    Neither PYTHON… variables nor the working folder nor the user's own packages have a say (-I).
    """
    flags = ["-I", *(["-B"] if sys.flags.dont_write_bytecode else [])]
    return [sys.executable, *flags, "-c", _RUN_MODULE, _ROOT, module, *arguments]


def run_isolated(module: str) -> None:
    """Put a process that runs a module isolated in the place of this one, unless this one is isolated.

    It keeps process id, arguments, streams and ignored signals.
    """
    open_standard_streams()
    stated = os.environ.get(_LIBRARIES, "")
    libraries = os.pathsep.join(own_library_folders(stated.split(os.pathsep), _loaded()))
    if sys.flags.isolated and libraries == stated:
        return
    environment = {**os.environ, _LIBRARIES: libraries}
    if not libraries:
        del environment[_LIBRARIES]
    command = isolated_command(module, *sys.argv[1:])
    os.execve(command[0], command, environment)


def own_library_folders(folders: list[str], loaded: list[str]) -> list[str]:
    """Those of LD_LIBRARY_PATH's folders that may stay.

    They are those that this interpreter itself was loaded from, and those with the graphics card's
    libraries, unless these have everybody's, too. loaded: files in this process's memory.
    """
    needed = {os.path.dirname(path) for path in loaded}
    return [f for f in folders if f and (os.path.realpath(f) in needed or _serves_the_card(f))]


def _serves_the_card(folder: str) -> bool:
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return any(n.startswith(_CARD) for n in names) and not any(n.startswith(_COMMON) for n in names)


def _loaded() -> list[str]:
    """Files of which parts are in this process's memory; none where the system does not say."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            return [line.split(maxsplit=5)[-1].rstrip("\n") for line in maps]
    except OSError:
        return []
