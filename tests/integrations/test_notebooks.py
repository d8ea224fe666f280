"""Results show themselves in a notebook, which a real kernel runs."""

from html import unescape

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are its files")
nbclient = pytest.importorskip("nbclient", reason="it runs the notebook")
pytest.importorskip("ipykernel", reason="the notebook runs in its kernel")
pytest.importorskip("torch", reason="PyTorch is what is watched")
pytestmark = pytest.mark.torch

ANALYSIS = "import gradscope\ngradscope.analyze(gradscope.Settings(hidden=4, steps=8, updates=0))"
WATCH = """
import torch
from gradscope.torch import watch

rnn = torch.nn.RNN(1, 4)
with watch(rnn, log=[].append) as watching:
    rnn(torch.randn(20, 2, 1))
watching
"""
LIVE = """
with watch(rnn, live=True, required_lag=15):
    rnn(torch.randn(20, 2, 1))
"""


@pytest.mark.filterwarnings("ignore")
def test_an_analysis_and_a_watch_show_themselves() -> None:
    cells = [nbformat.v4.new_code_cell(each) for each in (ANALYSIS, WATCH, LIVE)]
    notebook = nbformat.v4.new_notebook(cells=cells)

    nbclient.NotebookClient(notebook, kernel_name="python3").execute()

    shown = [each.outputs[-1].data["text/html"] for each in notebook.cells[:2]]
    assert all("<strong>" in each and "data:image/png;base64," in each for each in shown)
    page = unescape(shown[0].partition('srcdoc="')[2].partition('"')[0])
    assert page.startswith("<!DOCTYPE html>")
    assert "</html>" in page
    assert "Watched 1 pass" in shown[1]
    (live,) = notebook.cells[2].outputs
    assert "of 15 needed" in live.data["text/plain"]
