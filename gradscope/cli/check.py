"""``gradscope check``: gradients, Jacobians and causes against independent computations."""

from typing import TYPE_CHECKING

import typer

from gradscope.cli.analyze import EXIT_CHECK_FAILED
from gradscope.cli.command import Call, takes_settings, weights_of
from gradscope.cli.options import Given, WeightsFile
from gradscope.cli.output import Place, note, progress_bar, show
from gradscope.errors import install_line
from gradscope.frameworks import BACKENDS

if TYPE_CHECKING:
    from gradscope.analysis.check import CheckRow
    from gradscope.analysis.imported.stack import ImportedStack
    from gradscope.analysis.settings import Settings

EXAMPLES = """\
gradscope check
gradscope check --activation sigmoid --hidden 32 --steps 50
gradscope check model.pt --data inputs.npy --activation tanh
"""

PACKAGE = {"Keras": "keras", "PyTorch": "torch"}

OTHER_BACKEND = f"set KERAS_BACKEND to one of {', '.join(BACKENDS)} that is installed"

SMALL = {"hidden": 8, "steps": 12, "sequences": 3, "updates": 0}
"""Defaults of a network on which every comparison takes well under a second."""


@takes_settings(
    *("updates", "batch", "optimizer", "learning_rate", "clip_norm", "clip_value", "truncate"),
    *("omega", "floss", "floss_exponents"),
)
def check(call: Call, file: WeightsFile = None) -> None:
    """Check a small network's gradients, Jacobians and causes independently; with FILE, states
    and Jacobians against its framework.
    """
    call.place.prepare()
    run_check(call.place, call.values(defaults=SMALL, **weights_of(file)))


def framework_rows(stack: "ImportedStack") -> "tuple[CheckRow, ...]":
    """Compare a network from a file with its framework; report on stderr what is not compared."""
    keras = stack.found.file.format == "keras"
    name, backend = "Keras" if keras else "PyTorch", None
    try:
        if keras:
            from gradscope.frameworks.keras import can_compute, cannot_differentiate, parity_rows

            backend = cannot_differentiate()
        else:
            from gradscope.frameworks.torch import can_compute, parity_rows
    except ImportError as error:
        missing = f"it is not installed; {install_line(PACKAGE[name])}"
        if keras and error.name in BACKENDS:
            missing = f"it needs {error.name}, which is not installed; {OTHER_BACKEND}"
        note(f"not compared with {name}: {missing}")
        return ()
    if stack.settings.gain != 1.0:
        note(f"not compared with {name}: --gain {stack.settings.gain:g} changes the file's W")
        return ()
    if not can_compute(stack.spec):
        note(f"not compared with {name}: it has no layer of these equations")
        return ()
    if backend is not None:
        note(
            f"Jacobians are not compared with Keras: its backend {backend} cannot "
            f"differentiate; {OTHER_BACKEND}"
        )
    return parity_rows(stack)


def run_check(place: Place, asked: "Settings | Given") -> None:
    """Check, show the table, and leave with the exit code that fits."""
    from gradscope.analysis.check import check as run
    from gradscope.analysis.prepare import prepare
    from gradscope.report.documents.analysis import check_document
    from gradscope.report.documents.rows import CHECK_COLUMNS, check_rows
    from gradscope.report.terminal.analysis import check_page

    prepared = prepare(asked, keep_stack=True)
    with progress_bar("checking"):
        rows = run(prepared)
        rows += framework_rows(prepared.stack) if prepared.stack is not None else ()
    show(
        place,
        lambda screen: check_page(rows, screen),
        lambda: check_document(rows, prepared.resolved.as_dict()),
        lambda: (CHECK_COLUMNS, check_rows(rows)),
    )
    if not all(row.passed for row in rows):
        raise typer.Exit(EXIT_CHECK_FAILED)
