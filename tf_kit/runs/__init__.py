"""Runs and their folders: start, checkpoint, resume, figures; pretraining, fine-tuning, probing; models in use."""

from tf_kit.runs.checkpoint import load_variables, save_variables
from tf_kit.runs.classification import finetune_run, probe_run
from tf_kit.runs.embedding import Embeddings, embed
from tf_kit.runs.exporting import export
from tf_kit.runs.files import read_json, save_model, write_json
from tf_kit.runs.prediction import Predictions, predict
from tf_kit.runs.pretraining import pretrain
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import Run

__all__ = [
    "Embeddings",
    "Predictions",
    "Progress",
    "Run",
    "embed",
    "export",
    "finetune_run",
    "load_variables",
    "predict",
    "pretrain",
    "probe_run",
    "read_json",
    "save_model",
    "save_variables",
    "write_json",
]
