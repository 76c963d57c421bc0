"""Runs and their folders: start, checkpoint, resume, figures; pretraining, fine-tuning and probing."""

from tf_kit.runs.checkpoint import load_variables, save_variables
from tf_kit.runs.files import read_json, save_model, write_json
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import Run

__all__ = ["Progress", "Run", "load_variables", "read_json", "save_model", "save_variables", "write_json"]
