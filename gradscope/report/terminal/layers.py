"""The layers of an imported network as a table, and what cannot be measured without targets."""

from rich.console import RenderableType
from rich.text import Text

from gradscope.analysis.results import Analysis, ImportedLayer, LayerVerdict
from gradscope.diagnosis.verdict import Verdict
from gradscope.names import CellName
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import table_of
from gradscope.report.words.numbers import level, steps

TITLES = ("layer", "kind", "in", "hidden", "gradient", "growth", "horizon")

NOT_DRIVEN = "not driven"
"""Said of a layer outside the stack that was studied: its inputs are unknown."""


def measure_sentence(analysis: Analysis) -> str:
    """Say what the error is compared with, or why there is none."""
    baseline = analysis.task_info.baseline
    if baseline is not None:
        return f"baseline: {baseline.meaning}"
    missing = "--targets FILE" if analysis.params.sizes[2] else "--readout NAME, --targets FILE"
    return f"no targets, so no error and no gradient by step ({missing})"


def layers_of(analysis: Analysis, screen: Screen) -> list[RenderableType]:
    """Return the table of all layers of the file; nothing for a network from elsewhere."""
    if analysis.network is None:
        return []
    title = Text(screen.say(layers_title(analysis)), style="bold")
    return [Text(), title, table_of(TITLES, layer_rows(analysis), screen, gap=2)]


def layers_title(analysis: Analysis) -> str:
    """Return what stands above the table of layers."""
    studied = analysis.network and analysis.network.studied
    return f"Layers of {analysis.settings.weights} (studied: {studied})"


def layer_rows(analysis: Analysis) -> list[list[str]]:
    """Return the table of all layers of the file; no row for a network from elsewhere."""
    network = analysis.network
    return [_cells(each, analysis) for each in network.layers] if network else []


def _cells(layer: ImportedLayer, analysis: Analysis) -> list[str]:
    verdict = layer_verdict(layer, analysis)
    kind = "RNN" if layer.cell is CellName.ELMAN else layer.cell.upper()
    cells = [layer.title, kind, str(layer.input_size), str(layer.hidden_size)]
    if verdict is None:
        return [*cells, NOT_DRIVEN, "–", "–"]
    reach = f">{verdict.max_lag}" if verdict.horizon is None else steps(verdict.horizon)
    return [*cells, str(verdict.regime), level(verdict.rate), reach]


def layer_verdict(layer: ImportedLayer, analysis: Analysis) -> Verdict | LayerVerdict | None:
    """Return the verdict on a layer: for the one that was studied, the analysis's own."""
    studied = analysis.network is not None and layer.title == analysis.network.studied
    return analysis.last.verdict if studied else layer.verdict
