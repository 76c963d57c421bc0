"""Masked tokens on text: an encoder of characters that fills in what is hidden."""

from pathlib import Path

import keras
import numpy as np

from tf_kit.checks import count, number
from tf_kit.data.text import load_text
from tf_kit.pretraining import MaskedTokens, TokenEncoder
from tf_kit.randomness import ExampleRandom
from tf_kit.runs.files import save_model
from tf_kit.runs.methods import optimizer_of
from tf_kit.runs.run import Run


def pretrain_tokens(
    name="tiny_shakespeare",
    out=None,
    resume=False,
    length=64,
    width=64,
    depth=2,
    mask_ratio=0.15,
    epochs=10,
    batch_size=64,
    learning_rate=0.002,
    seed=0,
    data_dir=None,
):
    """Pretrains a `TokenEncoder` of characters with masked tokens and keeps it as `encoder.keras`.

    There are no labels to fine-tune on, so the run says itself what was learned: accuracy on masked characters of
    the validation text in every epoch, and of the test text once, beside that of always guessing the most frequent
    character; and in `figures/filled_in.txt` some lines with what the model fills in.

    Args:
        name, length, data_dir: as for `load_text`.
        out, resume, seed: as for `pretrain`.
        width, depth: of the encoder.
        mask_ratio: share of the characters that is hidden.
        epochs, batch_size, learning_rate: of the training with Adam, whose rate falls to zero by a cosine.

    Returns:
        The results as written to `results.json`.
    """
    train, val, test = load_text(name, length=length, data_dir=data_dir)
    encoder = TokenEncoder(train.num_tokens, width=width, depth=depth, seed=seed)
    model = MaskedTokens(encoder, train.mask_token, (train.unknown,), mask_ratio=mask_ratio, seed=seed)
    epochs, batch_size = (
        count("pretrain.epochs", epochs),
        count("pretrain.batch_size", batch_size),
    )
    learning_rate = number("pretrain.learning_rate", learning_rate, above=0)
    settings = {
        "command": "pretrain",
        "method": "tokens",
        "data": str(Path(name).expanduser().resolve()) if Path(name).expanduser().is_file() else name,
        "data_dir": data_dir and str(data_dir),
        "length": length,
        "width": width,
        "depth": depth,
        "mask_ratio": mask_ratio,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    run = Run(out, settings, resume=resume)
    if run.results:
        return run.results
    steps = epochs * -(-len(train) // batch_size)
    model.compile(optimizer=optimizer_of(MaskedTokens, learning_rate, steps))
    run.fit(
        model,
        train.x,
        stage="pretraining",
        epochs=epochs,
        batch_size=batch_size,
        validation_data=(val.x,),
    )
    run.progress.close()
    run.draw()
    (run.folder / "figures" / "filled_in.txt").write_text(fill_in(model, test) + "\n", encoding="utf-8")
    save_model(encoder, run.folder / "encoder.keras")
    tested = model.evaluate(test.x, verbose=0, return_dict=True)
    most_frequent = np.bincount(train.x.ravel()).argmax()
    history = run.history()["pretraining"]
    run.finish(
        {
            "method": "tokens",
            "data": name,
            "vocabulary": train.vocabulary,
            "stages": {"pretraining": {metric: values[-1] for metric, values in history.items()}},
            "test": {
                "accuracy": round(100 * float(tested["accuracy"]), 4),
                "most frequent character": round(100 * float(np.mean(test.x == most_frequent)), 4),
            },
        }
    )
    return run.results


def fill_in(model, text, count=5):
    """Some stretches of a text: as they are, with characters masked, and as the model fills them in.

    Args:
        model: trained `MaskedTokens`.
        text: a `Text`.
        count: stretches, spread over the text.
    """
    x = text.x[:: max(1, len(text) // count)][:count]
    chosen = keras.ops.convert_to_numpy(model.choose(x, ExampleRandom(model.seed, 0, len(x))))
    hidden = np.where(chosen, text.mask_token, x)
    guessed = keras.ops.convert_to_numpy(model.logits(hidden))[..., : len(text.vocabulary)].argmax(-1)
    filled = np.where(chosen, guessed, x)
    rows = zip(x, hidden, filled, strict=True)
    return "\n\n".join("\n".join(text.decode(each) for each in row) for row in rows)
