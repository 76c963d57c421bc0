"""Tests of pretraining on text: what a run says about it."""

from tf_kit.runs import pretraining


def test_characters_that_the_training_text_lacks_are_counted(tmp_path, capsys):
    path = tmp_path / "rhyme.txt"
    path.write_text("the cat sat on the mat. " * 300 + "the cät sät on thé mat. " * 20, encoding="utf-8")
    pretraining.pretrain(
        "tokens", str(path), tmp_path / "run", length=24, epochs=1, batch_size=64, width=8, depth=1
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if "do not occur" in line]
    rest = (
        "of the {} text do not occur in the training text; they are never hidden, so no accuracy counts them"
    )
    assert lines == [
        f"{path}: 12 of 384 characters {rest.format('validation')}",
        f"{path}: 48 of 384 characters {rest.format('test')}",
    ]
