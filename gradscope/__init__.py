"""gradscope: see how gradient travels through time in a recurrent network.

While a call works, NumPy's BLAS (OpenBLAS) takes one thread, and then as many as before: on a busy
machine more are slower. Choose others by ``set_threads(n)``, or by ``OPENBLAS_NUM_THREADS`` or its
like before Python starts.

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

_NAMES = {
    "model.activations": ("Activation", "ACTIVATIONS"),
    "model.elman": ("ElmanParameters",),
    "model.gru": ("GruParameters",),
    "model.lstm": ("LstmParameters",),
    "model.initializers": ("initialize", "initialize_gru", "initialize_lstm"),
    "model.stack": ("Layer", "unroll_stack"),
    "model.trajectory": ("Trajectory", "unroll"),
    "data.batch": ("Batch", "Targets"),
    "data.tasks": ("make_task",),
    "learning.bptt": ("Gradients", "backpropagate"),
    "learning.training": ("train",),
    "learning.readout": ("readout_score",),
    "jacobians.chain": ("DenseChain", "ElmanChain", "elman_chain"),
    "jacobians.cell_chain": ("CellChain", "cell_chain"),
    "jacobians.diagonal": ("ChannelNorms", "DiagonalChain", "channel_norms"),
    "jacobians.rank_one": ("DiagonalPlusRankOneChain",),
    "jacobians.lag_norms": ("LagNorms", "lag_norms"),
    "jacobians.stack_chain": ("DepthMap", "StackChain", "depth_map"),
    "jacobians.lag_map": ("LagMap", "lag_map"),
    "jacobians.singular_values": ("SingularValues", "singular_values"),
    "jacobians.lyapunov": ("LyapunovSpectrum", "lyapunov_exponents"),
    "jacobians.parameter_profile": ("ParameterProfile", "parameter_profile"),
    "jacobians.shares": ("GradientShares", "gradient_shares"),
    "diagnosis.causes": ("Causes", "causes", "GatedCauses", "cell_causes"),
    "diagnosis.verdict": ("Evidence", "Verdict"),
    "diagnosis.thresholds": ("Thresholds",),
    "diagnosis.write_level": ("Writing", "write_level"),
    "diagnosis.growth": ("GrowthRate", "growth_rate"),
    "diagnosis.mean_field": ("MeanField", "mean_field"),
    "diagnosis.theory": ("Prediction", "predictions", "newman_exponents"),
    "diagnosis.diagnose": ("Diagnosis", "diagnose"),
    "names": ("Regime",),
    "analysis.settings": ("Settings",),
    "analysis.results": ("Analysis", "Comparison"),
    "analysis.analyze": ("analyze",),
    "sweep.compare": ("compare",),
    "sweep.grid": ("Grid", "make_plan"),
    "sweep.executors": ("Crew", "Workers"),
    "sweep.run": ("Progress", "run_sweep"),
    "sweep.query": ("read_rows",),
    "remedy.trial": ("try_remedies",),
    "remedy.forecast": ("forecast",),
    "analysis.archive": ("load_run",),
    "weights.layers.recurrent_layer": ("FoundNetwork", "RecurrentLayer"),
    "weights.load": ("load_weights",),
    "analysis.imported.resolve": ("settings_of_weights",),
    "machine": ("set_threads",),
    "errors": ("GradscopeError",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 (names loaded by __getattr__)


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module 'gradscope' has no attribute {name!r}")
    value = getattr(import_module(f"gradscope.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def _page(result: NotebookResult) -> str:
    """Return what a notebook shows for a result; ``report.notebook`` makes it when first asked."""
    return str(import_module("gradscope.report.notebook").notebook_page(result))


NotebookResult._repr_html_ = _page


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
