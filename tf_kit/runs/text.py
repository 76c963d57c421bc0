"""Pretraining on text into a run folder: an encoder of characters that fills in hidden characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_kit.checks import count
from tf_kit.data.fingerprint import of_files, of_set
from tf_kit.data.text import Text, cut, find_text
from tf_kit.pretraining import MaskedTokens, TokenEncoder
from tf_kit.pretraining.methods import own_options
from tf_kit.randomness import ExampleRandom
from tf_kit.runs import config_file, methods, report
from tf_kit.runs.files import save_model, write_text
from tf_kit.runs.precision import choose
from tf_kit.runs.run import Run
from tf_kit.training.precision import current_precision, precision


def pretrain_text(
    method: str,
    name: str,
    out: str | Path | None,
    resume: bool,
    length: int,
    own: Mapping[str, Any],
    sizes: Mapping[str, Any],
    training: Mapping[str, Any],
    wanted: str | None,
    seed: int,
    data_dir: str | Path | None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Pretrain a `TokenEncoder` of characters and save it as `encoder.keras`; `runs.pretraining.pretrain` calls it.

    A text has no labels to fine-tune on, so the run measures the accuracy on masked characters: of the validation text
    in every epoch, and of the test text once, next to the accuracy of always guessing the most frequent character.
    `figures/filled_in.txt` shows some lines with the characters that the model fills in.

    Args:
        method: name of the method.
        name, length, data_dir: as for `load_text`.
        out, resume, seed, callbacks: as for `pretrain`.
        own: the method's own options.
        sizes: `width` and `depth` of the encoder. Those not given are 64 and 2.
        training: `epochs`, `batch_size`, `learning_rate`.
        wanted: precision, see `precision.choose`.

    Returns:
        The results as written to `results.json`.
    """
    length = count("pretrain.length", length, at_least=2)
    found = find_text(name, data_dir)
    train, val, test = cut(name, found, length)
    used, why = choose(
        wanted,
        lambda: TokenEncoder(train.num_tokens, **sizes),
        {"kind": "text", **sizes},
        train.x,
        training["batch_size"],
        keeps_quality=methods.find(method).good_in_bfloat16,
        resumed=out if resume else None,
    )
    special = {"mask_token": train.mask_token, "specials": (train.unknown,)}
    with precision(used):
        encoder = TokenEncoder(train.num_tokens, **sizes, seed=seed)
        # Refuses mistakes before a folder is made.
        methods.make_pretrainer(method, encoder, {**own, **special})
    settings = {
        "command": "pretrain",
        "method": method,
        "data": str(found.path.resolve()) if found.files else name,
        "data_dir": data_dir and str(Path(data_dir).expanduser().resolve()),
        "length": length,
        "width": encoder.width,
        "depth": encoder.depth,
        **own,
        **training,
        "seed": seed,
        "precision": used or current_precision(),
    }
    defaults = {**own_options(method, {}), "precision": current_precision()}
    root = found.path if found.path.is_dir() else found.path.parent
    contents = of_files(root, found.files) if found.files else of_set(name, data_dir)
    recorded: dict[str, Any] = {"data": contents, "defaults": defaults}
    run = Run(out, settings, resume=resume, **recorded, callbacks=callbacks)
    results = report.finished(run, "encoder.keras")
    if results:
        return results
    config_file.write_config(run.folder, settings)
    if found.summary:
        run.progress.print(f"{name}: {found.summary}")
    for line in _unknown({"validation": val, "test": test}):
        run.progress.print(f"{name}: {line}")
    if why:
        run.progress.print(why)
    with precision(used):
        (model,) = methods.train(
            method,
            encoder,
            train.x,
            fit=run.fit,
            options={**own, **special},
            seed=seed,
            validation_data=(val.x,),
            **training,
        )
    run.progress.close()
    save_model(encoder, run.folder / "encoder.keras")
    run.draw()
    write_text(run.folder / "figures" / "filled_in.txt", fill_in(model, test) + "\n")
    history = run.history()["pretraining"]
    return report.finish(
        run,
        {
            "method": method,
            "data": name,
            "vocabulary": train.vocabulary,
            "stages": {"pretraining": {metric: values[-1] for metric, values in history.items()}},
            "test": _tested(model, train, test),
        },
    )


def _unknown(parts):
    """Return a line about each part of a text with characters that the training text lacks."""
    for part, text in parts.items():
        if count := np.count_nonzero(text.x == text.unknown):
            yield (
                f"{count:,} of {text.x.size:,} characters of the {part} text do not occur in the training text; "
                "they are never hidden, so no accuracy counts them"
            )


def _tested(model, train, test):
    """Accuracies on the masked characters of a text in percent: of the model, and of the most frequent character."""
    tested = model.evaluate(test.x, verbose=0, return_dict=True)
    most_frequent = np.bincount(train.x.ravel()).argmax()
    return {
        "accuracy": round(100 * float(tested["accuracy"]), 4),
        "most frequent character": round(100 * float(np.mean(test.x == most_frequent)), 4),
    }


def fill_in(model: MaskedTokens, text: Text, count: int = 5) -> str:
    """Format some sequences of a text: as they are, with characters masked, and as the model fills them in.

    Args:
        model: trained `MaskedTokens`.
        text: text from which the sequences are taken at even distances.
        count: number of sequences. Defaults to 5.
    """
    x = text.x[:: max(1, len(text) // count)][:count]
    chosen = keras.ops.convert_to_numpy(model.choose(x, ExampleRandom(model.seed, 0, len(x))))
    hidden = np.where(chosen, text.mask_token, x)
    guessed = keras.ops.convert_to_numpy(model.logits(hidden))[..., : len(text.vocabulary)].argmax(-1)
    filled = np.where(chosen, guessed, x)
    rows = zip(x, hidden, filled, strict=True)
    return "\n\n".join("\n".join(text.decode(each) for each in row) for row in rows)
