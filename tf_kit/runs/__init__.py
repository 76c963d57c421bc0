"""Runs and their folders: start, checkpoint, resume, figures; pretraining, fine-tuning, probing; models in use."""

from typing import TYPE_CHECKING

from tf_kit.lazy import lazily

if TYPE_CHECKING:
    from tf_kit.runs.checkpoint import load_variables as load_variables
    from tf_kit.runs.checkpoint import save_variables as save_variables
    from tf_kit.runs.classification import finetune_run as finetune_run
    from tf_kit.runs.classification import probe_run as probe_run
    from tf_kit.runs.embedding import Embeddings as Embeddings
    from tf_kit.runs.embedding import embed as embed
    from tf_kit.runs.exporting import export as export
    from tf_kit.runs.files import read_json as read_json
    from tf_kit.runs.files import save_model as save_model
    from tf_kit.runs.files import write_json as write_json
    from tf_kit.runs.prediction import Predictions as Predictions
    from tf_kit.runs.prediction import predict as predict
    from tf_kit.runs.pretraining import pretrain as pretrain
    from tf_kit.runs.progress import Progress as Progress
    from tf_kit.runs.run import Run as Run
else:  # hidden from type checkers, which would accept any name if there were a `__getattr__`
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "tf_kit.runs.checkpoint": (
                "load_variables",
                "save_variables",
            ),
            "tf_kit.runs.classification": (
                "finetune_run",
                "probe_run",
            ),
            "tf_kit.runs.embedding": (
                "Embeddings",
                "embed",
            ),
            "tf_kit.runs.exporting": ("export",),
            "tf_kit.runs.files": (
                "read_json",
                "save_model",
                "write_json",
            ),
            "tf_kit.runs.prediction": (
                "Predictions",
                "predict",
            ),
            "tf_kit.runs.pretraining": ("pretrain",),
            "tf_kit.runs.progress": ("Progress",),
            "tf_kit.runs.run": ("Run",),
        },
    )
