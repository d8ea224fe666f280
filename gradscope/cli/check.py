"""``gradscope check``: gradients, Jacobians and causes against independent computations."""

from functools import partial
from typing import TYPE_CHECKING

import typer

from gradscope.cli.analyze import EXIT_CHECK_FAILED
from gradscope.cli.command import Call, takes_settings, weights_of
from gradscope.cli.options import WeightsFile
from gradscope.cli.output import note, progress_bar, show
from gradscope.errors import install_line
from gradscope.frameworks import BACKENDS

if TYPE_CHECKING:
    from gradscope.analysis.check import CheckRow
    from gradscope.analysis.imported.stack import ImportedStack


OTHER_BACKEND = f"set KERAS_BACKEND to one of {', '.join(BACKENDS)} that is installed"

SMALL = {"hidden": 8, "steps": 12, "sequences": 3, "updates": 0}
"""Defaults of a network on which every comparison takes well under a second."""


@takes_settings(
    *("updates", "batch", "optimizer", "learning_rate", "clip_norm", "clip_value", "truncate"),
    *("omega", "floss"),
)
def check(call: Call, file: WeightsFile = None) -> None:
    """Check a small network's gradients, Jacobians and causes independently; with FILE, states
    and Jacobians against its framework.
    """
    call.place.prepare()
    from gradscope.analysis.check import check as run
    from gradscope.analysis.prepare import prepare
    from gradscope.report.documents.analysis import check_document
    from gradscope.report.documents.rows import check_rows
    from gradscope.report.terminal.analysis import check_page

    prepared = prepare(call.values(defaults=SMALL, **weights_of(file)), keep_stack=True)
    with progress_bar("checking"):
        rows = run(prepared)
        rows += framework_rows(prepared.stack) if prepared.stack is not None else ()
    document = partial(check_document, settings=prepared.resolved.as_dict())
    show(call.place, (rows,), check_page, document, check_rows)
    if not all(row.passed for row in rows):
        raise typer.Exit(EXIT_CHECK_FAILED)


def framework_rows(stack: "ImportedStack") -> "tuple[CheckRow, ...]":
    """Compare a network from a file with its framework; report on stderr what is not compared."""
    keras = stack.found.file.format == "keras"
    name, backend, fault = "Keras" if keras else "PyTorch", None, ""
    try:
        if keras:
            from gradscope.frameworks.keras import can_compute, cannot_differentiate, parity_rows

            backend = cannot_differentiate()
        else:
            from gradscope.frameworks.torch import can_compute, parity_rows
    except ImportError as error:
        line = install_line("keras") if keras else install_line("torch")
        fault = f"it is not installed; {line}"
        if keras and error.name in BACKENDS:
            fault = f"it needs {error.name}, which is not installed; {OTHER_BACKEND}"
    else:
        if stack.settings.gain != 1.0:
            fault = f"--gain {stack.settings.gain:g} changes the file's W"
        elif not can_compute(stack.spec):
            fault = "it has no layer of these equations"
    if fault:
        note(f"not compared with {name}: {fault}")
        return ()
    if backend is not None:
        fault = f"its backend {backend} cannot differentiate; {OTHER_BACKEND}"
        note(f"Jacobians are not compared with Keras: {fault}")
    return parity_rows(stack)
