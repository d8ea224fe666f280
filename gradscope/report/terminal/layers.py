"""What is said of a network from a file of weights: its layers as a table and as a document, and
what could not be measured for want of targets.
"""

from rich.console import RenderableType
from rich.text import Text

from gradscope.analysis.results import Analysis, ImportedLayer, LayerVerdict
from gradscope.diagnosis.verdict import Verdict
from gradscope.names import CellName
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import add_row, columns_of
from gradscope.report.words.numbers import level, steps

TITLES = ("layer", "kind", "in", "hidden", "gradient", "growth", "horizon")

NOT_DRIVEN = "not driven"
"""Of a layer outside the stack that was studied: what it sees is not in the file."""


def measure_sentence(analysis: Analysis) -> str:
    """Say what the error is set against, or why there is none."""
    baseline = analysis.task_info.baseline
    if baseline is not None:
        return f"baseline: {baseline.meaning}"
    missing = "--targets FILE" if analysis.params.sizes[2] else "--readout NAME, --targets FILE"
    return f"no targets, so no error and no gradient by step ({missing})"


def layers_of(analysis: Analysis, screen: Screen) -> list[RenderableType]:
    """Return the table of all layers of the file; nothing for a network from elsewhere."""
    if analysis.network is None:
        return []
    table = columns_of(TITLES, screen, gap=2)
    for cells in layer_rows(analysis):
        add_row(table, cells, screen)
    return [Text(), Text(screen.say(layers_title(analysis)), style="bold"), table]


def layers_title(analysis: Analysis) -> str:
    """Return what stands above the table of layers."""
    studied = analysis.network and analysis.network.studied
    return f"Layers of {analysis.settings.weights} (studied: {studied})"


def layer_rows(analysis: Analysis) -> list[list[str]]:
    """Return the table of all layers of the file; no row for a network from elsewhere."""
    network = analysis.network
    return [_cells(each, analysis) for each in network.layers] if network else []


def _cells(given: ImportedLayer, analysis: Analysis) -> list[str]:
    verdict = layer_verdict(given, analysis)
    sizes = [str(given.input_size), str(given.hidden_size)]
    names = [given.title, _kind(given)]
    if verdict is None:
        return [*names, *sizes, NOT_DRIVEN, "–", "–"]
    reach = f">{verdict.max_lag}" if verdict.horizon is None else steps(verdict.horizon)
    return [*names, *sizes, str(verdict.regime), level(verdict.rate), reach]


def layer_verdict(given: ImportedLayer, analysis: Analysis) -> Verdict | LayerVerdict | None:
    """Return what is said of a layer: of the one that was studied, the analysis's own verdict."""
    studied = analysis.network is not None and given.title == analysis.network.studied
    return analysis.last.verdict if studied else given.verdict


def _kind(given: ImportedLayer) -> str:
    return "RNN" if given.cell is CellName.ELMAN else given.cell.upper()
