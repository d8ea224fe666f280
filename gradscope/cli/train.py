"""``gradscope train``: error, unclipped gradient norm and memory horizon during training."""

from typing import TYPE_CHECKING

from gradscope.analysis.settings import IMPORTED_SETTINGS, Settings
from gradscope.cli.analyze import Files, exit_with_status, write_files
from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import FailOn, FailWhen, Figure, Given, Html, Load, Save
from gradscope.cli.output import Place, note, progress_bar, show, titled
from gradscope.errors import SettingError

if TYPE_CHECKING:
    from gradscope.analysis.checkpoints import Checkpoint

EXAMPLES = """\
gradscope train --task recall --delay 5 --steps 20 --save run.npz
gradscope train --task adding --steps 50 --clip-norm 1 --png training.png
gradscope train --data series.csv --column NAME --steps 50 --truncate 10 --json
"""


@takes_settings("weights", *IMPORTED_SETTINGS)
def train(
    call: Call,
    load: Load = None,
    png: Figure = None,
    html: Html = None,
    save: Save = None,
    fail_on: FailWhen = None,
) -> None:
    """Train a recurrent network; report error, unclipped gradient norm and memory horizon."""
    call.place.prepare(save, html, figures=png)
    run_training(call.place, call.values(load=load), Files(png, save, html), fail_on)


def run_training(
    place: Place,
    asked: Settings | Given,
    files: Files,
    fail_on: FailOn | None = None,
) -> None:
    """Train, show the checkpoints, write picture and run."""
    from gradscope.analysis.analyze import analyze
    from gradscope.analysis.checkpoints import CheckpointRecorder
    from gradscope.analysis.prepare import prepare
    from gradscope.report.documents.analysis import training_document
    from gradscope.report.documents.rows import CHECKPOINT_COLUMNS, checkpoint_rows
    from gradscope.report.terminal.analysis import training_page

    prepared = prepare(asked)
    if prepared.task is None:
        raise SettingError("--updates is 0; choose 1 or more to train")
    targets = prepared.batch.batch.targets.count
    recorder = CheckpointRecorder(prepared, lambda each: _note(each, targets))
    with progress_bar("examining"):
        analysis = analyze(prepared, watch=recorder)
    table = titled(CHECKPOINT_COLUMNS, checkpoint_rows)
    show(place, (analysis, recorder.checkpoints), training_page, training_document, table)
    progress = table(analysis, recorder.checkpoints)
    write_files(analysis, files, force=place.force, command="train", progress=progress)
    exit_with_status(analysis, fail_on)


def _note(checkpoint: "Checkpoint", targets: float) -> None:
    reach = "beyond the sequence" if checkpoint.horizon is None else f"{checkpoint.horizon} steps"
    error = f"error per step {checkpoint.loss / targets:.4g}"
    norm = f"gradient norm {checkpoint.gradient_norm:.3g}"
    note(f"update {checkpoint.update}: {error}, {norm}, horizon {reach}")
