"""How each number of a saved run's verdict was reached, measured again from the file."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from gradscope.analysis.analyze import analyze
from gradscope.analysis.fields import ZERO_PRODUCT
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Stage
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import learned_by, thresholds
from gradscope.arrays import plain
from gradscope.diagnosis.verdict import Learned, Thresholds
from gradscope.errors import ArchiveError
from gradscope.report.formats import Document, head
from gradscope.report.words.cells import has_textbook_bound


@dataclass(frozen=True, eq=False, slots=True)
class VerdictLesson:
    """A verdict with what it was made from.

    ``slope_ceiling`` is γ; ``stage`` has the lag profile, its bound and the causes.
    """

    settings: Settings
    stage: Stage
    slope_ceiling: float
    learned: Learned | None

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the verdict."""
        return thresholds(self.settings)

    @property
    def rate(self) -> float:
        """The growth rate, nats per step: −inf where every product is exactly zero at the end."""
        tail = self.stage.growth.tail
        return -math.inf if tail is None else tail.rate

    @property
    def bound_rate(self) -> float:
        """The bound of the growth rate: log(γ σ_max(W)) for a vanilla RNN."""
        return float(self.stage.profile.log_bound[0])

    @property
    def log_weight_norm(self) -> float | None:
        """The bound less log γ: log σ_max(W) in nats; None where the bound has other terms."""
        plain = has_textbook_bound(self.settings)
        return self.bound_rate - math.log(self.slope_ceiling) if plain else None

    def document(self) -> Document:
        """Return each number of the verdict with those behind it, as JSON has them."""
        stage, norm = self.stage, self.log_weight_norm
        tail = stage.growth.tail
        return {
            **head("explain.verdict", self.settings.as_dict()),
            "stage": str(stage.name),
            "regime": str(stage.verdict.regime),
            "rate_nats_per_step": plain(self.rate),
            "rate_between": tail
            and {
                "lags": list(tail.lags),
                "nats": [plain(each) for each in tail.log_norms],
                "sequences": tail.sequences,
                "of": tail.of,
            },
            "rate_null_because": None if tail else ZERO_PRODUCT,
            "horizon": stage.verdict.horizon,
            "required_lag": stage.verdict.required_lag,
            "causes": asdict(stage.causes),
            "bound_rate_nats_per_step": plain(self.bound_rate),
            "log_slope_ceiling": math.log(self.slope_ceiling),
            "log_weight_norm": plain(norm),
            "log_weight_norm_null_because": "the bound has other terms: a leak, or gates"
            if norm is None
            else None
            if math.isfinite(norm)
            else "W is zero",
            "error": self.learned and plain(self.learned.error),
            "baseline": self.learned and self.learned.baseline,
            "thresholds": asdict(self.thresholds),
            # Once filled for analysis documents, which are no longer explained.
            "in_the_file": None,
        }


def verdict_lesson(path: Path) -> VerdictLesson:
    """Measure a saved run (``.npz``) again.

    Raises
    ------
    ArchiveError
        If the file cannot be read, or is no saved run.
    SettingError
        If it holds settings outside their limits.
    """
    if path.suffix.lower() == ".json":
        raise ArchiveError(
            f"{path} holds no network to measure; give the saved run, which "
            f"gradscope rerun {path} --save run.npz writes"
        )
    analysis = analyze(prepare({"load": str(path)}))
    return VerdictLesson(
        settings=analysis.settings,
        stage=analysis.last,
        slope_ceiling=analysis.params.activation.slope_ceiling,
        learned=learned_by(analysis.last.error, analysis.task_info),
    )
