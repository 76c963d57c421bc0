"""Tests of the import of Keras without libraries that it can do without, each in a process of its own."""

import subprocess
import sys
import textwrap

import pytest

START = "import sys; from tf_kit import lean_keras\n"


def prints(code):
    code = START + textwrap.dedent(code)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def lean():
    """What a process with hidden libraries says: those that Keras has loaded, and what finds them afterwards."""
    return prints("""
        lean_keras.hide()
        before = len(sys.meta_path)
        lean_keras.hide()
        assert len(sys.meta_path) == before, "a second call does nothing"
        import gc, inspect
        searched = []
        gc.callbacks.append(lambda phase, info: searched.append(phase))
        import keras, tensorflow
        print(len(searched), gc.isenabled(), gc.get_freeze_count() > 100_000)
        print("import" in inspect.getsource(keras), keras.__spec__.loader.name)
        saved = {"class_name": "Momentum", "registered_name": "tf_kit>Momentum", "config": {"momentum": 0.5}}
        print(keras.saving.deserialize_keras_object(saved).momentum)
        print(sorted(sys.modules.keys() & set(lean_keras.LIBRARIES)))
        import IPython, matplotlib.pyplot, scipy.stats, sklearn.linear_model
        print(sklearn.linear_model.LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]).coef_)
        try:
            keras.wrappers.SKLearnClassifier(keras.Sequential())
        except ImportError as error:
            print(error)
        print(keras.ops.convert_to_numpy(keras.ops.sum(keras.ops.array([[2.0, 3.0]]), axis=1, keepdims=True)))
    """)


def test_keras_loads_none_of_the_libraries(lean):
    assert lean[3] == "[]"


def test_python_looks_for_garbage_after_the_import_only(lean):
    """A few searches end with the import, where it is on again; else there are hundreds."""
    searched, enabled, frozen = lean[0].split()
    assert int(searched) < 10
    assert (enabled, frozen) == ("True", "True")
    assert lean[1] == "True keras"


def test_keras_still_finds_the_classes_of_the_kit(lean):
    assert lean[2] == "0.5"


@pytest.mark.slow
def test_a_process_that_does_not_look_for_garbage_stays_so():
    """As does the grader's, which has its own time for it."""
    found = prints("""
        import gc
        gc.disable()
        with lean_keras.hidden():
            import tensorflow
        print(gc.isenabled(), gc.get_freeze_count())
        try:
            lean_keras.hide()
            import tensorflow.nothing_of_this_name
        except ModuleNotFoundError:
            print("no module")
    """)
    assert found == ["False 0", "no module"]


def test_libraries_are_there_for_everyone_else(lean):
    assert lean[4] == "[2.]"
    assert lean[-1] == "[[5.]]"


def test_part_of_keras_that_needs_one_says_so(lean):
    assert "requires `scikit-learn` to be installed" in " ".join(lean[5:-1])


@pytest.mark.slow
def test_one_that_is_loaded_already_is_not_hidden():
    (wrappers,) = prints("""
        import sklearn
        lean_keras.hide()
        import keras
        print({base.__module__.partition(".")[0] for base in keras.wrappers.SKLearnClassifier.__mro__})
    """)
    assert "sklearn" in wrappers, "a process that has scikit-learn has its wrappers"


@pytest.mark.slow
def test_module_that_keras_does_not_own_finds_them_while_keras_is_imported(tmp_path):
    (tmp_path / "other.py").write_text("import scipy\n")
    found = prints(f"""
        sys.path.insert(0, {str(tmp_path)!r})
        with lean_keras.hidden():
            import other
            before = len(sys.meta_path)
        print(other.scipy.__name__, before - len(sys.meta_path))
        import keras
        print("sklearn" in sys.modules)
    """)
    assert found == ["scipy 1", "True"]


@pytest.mark.slow
def test_function_of_keras_that_needs_a_library_later_finds_it():
    found = prints("""
        lean_keras.hide(["json_of_a_test"])
        import types
        sys.modules["keras"] = types.ModuleType("keras")
        for inside in (False, True):
            code = "import json_of_a_test"
            code = f"def later():\\n    {code}\\nlater()" if inside else code
            try:
                exec(compile(code, "keras", "exec"), {"__name__": "keras.src.part"})
            except ModuleNotFoundError as error:
                frames = error.__traceback__
                while frames.tb_next:
                    frames = frames.tb_next
                print(frames.tb_frame.f_code.co_name)
    """)
    assert found == ["find_spec", "later"], "the first was hidden, the second does not exist"
