"""Runs and their folders: start, checkpoint, resume, figures; pretraining, fine-tuning, probing; models in use."""

from tf_kit.runs.checkpoint import load_variables, save_variables
from tf_kit.runs.embedding import Embeddings, embed
from tf_kit.runs.exporting import export
from tf_kit.runs.files import read_json, save_model, write_json
from tf_kit.runs.prediction import Predictions, predict
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import Run

__all__ = [
    "Embeddings",
    "Predictions",
    "Progress",
    "Run",
    "embed",
    "export",
    "load_variables",
    "predict",
    "read_json",
    "save_model",
    "save_variables",
    "write_json",
]
