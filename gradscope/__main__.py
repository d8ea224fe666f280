"""The entry of the ``gradscope`` command. ``--version`` is answered before anything is imported."""

import gc
import sys

EXIT_INTERRUPTED = 130

OBJECTS_BEFORE_A_SEARCH = 200_000
"""New objects before Python searches for cycles among them: its 700 costs a short run a tenth of
its time, spent on imported code, which stays.
"""


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None and _show_version():
        sys.exit(0)
    gc.set_threshold(OBJECTS_BEFORE_A_SEARCH)
    import signal

    from gradscope.cli.interrupts import hold_interrupts_that_would_be_lost

    hold_interrupts_that_would_be_lost()
    try:
        from gradscope.cli.app import run
        from gradscope.cli.output import keep_stderr_for_notes
        from gradscope.machine import keep_freed_memory

        keep_stderr_for_notes()
        keep_freed_memory()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    # One that comes now has nothing left to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is left goes with the process; nothing need be searched for first.
    gc.freeze()
    sys.exit(code)


def _show_version() -> bool:
    """Write the version; False where stdout cannot take it, which ``run`` then explains."""
    from gradscope import __version__

    try:
        sys.stdout.write(f"gradscope {__version__}\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
