"""gradscope: see how gradient travels through time in a recurrent network.

The names below are the public API; each module is imported when one of its names
is first used, so that ``import gradscope`` costs nothing.

>>> import gradscope
>>> analysis = gradscope.analyze(gradscope.Settings(activation="tanh", steps=20, updates=0))
>>> analysis.last.verdict.horizon is None
True
"""

from importlib import import_module

from gradscope.notebook_repr import NotebookResult

# As typing has it; importing typing would double the time of ``gradscope --version``.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Activation": "model.activations",
    "ACTIVATIONS": "model.activations",
    "ElmanParameters": "model.elman",
    "GruParameters": "model.gru",
    "LstmParameters": "model.lstm",
    "initialize": "model.initializers",
    "initialize_gru": "model.initializers",
    "initialize_lstm": "model.initializers",
    "Layer": "model.stack",
    "unroll_stack": "model.stack",
    "Trajectory": "model.trajectory",
    "unroll": "model.trajectory",
    "Batch": "data.batch",
    "Targets": "data.batch",
    "make_task": "data.tasks",
    "Gradients": "learning.bptt",
    "backpropagate": "learning.bptt",
    "train": "learning.training",
    "readout_score": "learning.readout",
    "ChannelNorms": "jacobians.diagonal",
    "DenseChain": "jacobians.chain",
    "DiagonalChain": "jacobians.diagonal",
    "DiagonalPlusRankOneChain": "jacobians.rank_one",
    "ElmanChain": "jacobians.chain",
    "elman_chain": "jacobians.chain",
    "CellChain": "jacobians.cell_chain",
    "cell_chain": "jacobians.cell_chain",
    "channel_norms": "jacobians.diagonal",
    "LagNorms": "jacobians.lag_norms",
    "lag_norms": "jacobians.lag_norms",
    "LagMap": "jacobians.lag_map",
    "lag_map": "jacobians.lag_map",
    "SingularValues": "jacobians.singular_values",
    "singular_values": "jacobians.singular_values",
    "LyapunovSpectrum": "jacobians.lyapunov",
    "lyapunov_exponents": "jacobians.lyapunov",
    "ParameterProfile": "jacobians.parameter_profile",
    "parameter_profile": "jacobians.parameter_profile",
    "GradientShares": "jacobians.shares",
    "gradient_shares": "jacobians.shares",
    "Causes": "diagnosis.causes",
    "causes": "diagnosis.causes",
    "GatedCauses": "diagnosis.causes",
    "cell_causes": "diagnosis.causes",
    "Evidence": "diagnosis.verdict",
    "Thresholds": "diagnosis.thresholds",
    "Verdict": "diagnosis.verdict",
    "Writing": "diagnosis.write_level",
    "write_level": "diagnosis.write_level",
    "GrowthRate": "diagnosis.growth",
    "growth_rate": "diagnosis.growth",
    "MeanField": "diagnosis.mean_field",
    "mean_field": "diagnosis.mean_field",
    "Prediction": "diagnosis.theory",
    "predictions": "diagnosis.theory",
    "newman_exponents": "diagnosis.theory",
    "Diagnosis": "diagnosis.diagnose",
    "diagnose": "diagnosis.diagnose",
    "Regime": "names",
    "Settings": "analysis.settings",
    "Analysis": "analysis.results",
    "Comparison": "analysis.results",
    "analyze": "analysis.analyze",
    "compare": "sweep.compare",
    "Grid": "sweep.grid",
    "make_plan": "sweep.grid",
    "Crew": "sweep.executors",
    "Workers": "sweep.executors",
    "Progress": "sweep.run",
    "run_sweep": "sweep.run",
    "read_rows": "sweep.query",
    "try_remedies": "remedy.trial",
    "forecast": "remedy.forecast",
    "load_run": "analysis.archive",
    "FoundNetwork": "weights.layers.recurrent_layer",
    "RecurrentLayer": "weights.layers.recurrent_layer",
    "load_weights": "weights.load",
    "settings_of_weights": "analysis.imported.resolve",
    "GradscopeError": "errors",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 (names loaded by __getattr__)


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module 'gradscope' has no attribute {name!r}")
    value = getattr(import_module(f"gradscope.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def _page(result: NotebookResult) -> str:
    """Return what a notebook shows for a result; ``report.notebook`` makes it when first asked."""
    made: str = import_module("gradscope.report.notebook").notebook_page(result)
    return made


NotebookResult._repr_html_ = _page


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
