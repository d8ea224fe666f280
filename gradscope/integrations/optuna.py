"""Optuna: end a trial whose network forgets what its task needs.

Source: Optuna 5.0, ``optuna.TrialPruned``.
"""

from optuna import Trial, TrialPruned

from gradscope.report.words.headline import headline
from gradscope.watch.numbers import numbers
from gradscope.watch.replay import Snapshot


def prune_if_forgets(trial: Trial, snapshot: Snapshot, required_lag: int) -> None:
    """Raise TrialPruned where the gradient of a snapshot does not reach ``required_lag`` steps back
    (or is not finite); keep the numbers of the snapshot as attributes of the trial.

    For ``gradscope.torch.watch(…, max_lag=required_lag, on_snapshot=…)``: over fewer lags than that
    nobody knows, and the trial goes on.
    """
    for name, value in numbers(snapshot).items():
        trial.set_user_attr(name, value)
    diagnosis, verdict = snapshot.diagnosis, snapshot.verdict
    if diagnosis is None or verdict is None:
        raise TrialPruned(f"step {snapshot.step}, {snapshot.layer}: the state is not finite")
    if snapshot.reach is not None and snapshot.reach <= required_lag:
        said = headline(verdict, diagnosis.thresholds.vanishing)
        needed = f"{said}; {required_lag} steps are needed"
        raise TrialPruned(f"step {snapshot.step}, {snapshot.layer}: {needed}")
