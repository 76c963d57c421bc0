"""Tests of the line plots: colors, legends, axes."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tf_kit import plotting
from tf_kit.design import TrainingMonitor
from tf_kit.errors import InputError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def colors_of(axes):
    return {line.get_label(): line.get_color() for line in axes.get_lines()}


def panel(*names, **more):
    return {"series": {name: (np.arange(3), np.arange(3.0)) for name in names}, **more}


def test_name_has_one_color_in_all_panels():
    figure = plotting.graphs([panel("a", "b"), panel("b", "c")])
    left, right = map(colors_of, figure.axes)
    assert left["b"] == right["b"]
    assert len({left["a"], left["b"], right["c"]}) == 3


def test_each_panel_starts_anew_if_colors_do_not_suffice():
    first, second = [str(i) for i in range(5)], [str(i) for i in range(5, 10)]
    figure = plotting.graphs([panel(*first), panel(*second)])
    for axes in figure.axes:
        assert tuple(colors_of(axes).values()) == plotting.COLORS[:5]


def test_panels_with_the_same_names_share_a_legend():
    shared = plotting.graphs([panel("a", "b"), panel("a", "b")])
    assert len(shared.legends) == 1
    assert all(axes.get_legend() is None for axes in shared.axes)
    separate = plotting.graphs([panel("a", "b"), panel("a", "c")])
    assert separate.legends == []
    assert plotting.graphs([panel("a"), panel("a")]).legends == [], "a single name needs none"
    assert all(axes.get_legend() for axes in separate.axes)


@pytest.mark.parametrize("length", [1, 60])
@pytest.mark.parametrize("count", [1, 5, 12, 13, 60])
def test_curves_keep_their_room_however_many_names_there_are(count, length):
    figure = plotting.curves({f"{i:0{length}}": [1.0, 2.0] for i in range(count)})
    figure.canvas.draw()
    (axes,) = figure.axes
    box = axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    assert box.width > 6
    assert box.height > 4
    legends = [each for each in (axes.get_legend(), *figure.legends) if each]
    assert [len(each.get_texts()) for each in legends] == ([count] if count > 1 else [])
    for each in legends:
        inside = each.get_window_extent().transformed(figure.transFigure.inverted())
        assert inside.y0 >= 0
        assert inside.x1 <= 1
        assert count <= 12 or not each.get_window_extent().overlaps(axes.get_window_extent())


def test_graphs_fill_rows_and_hide_the_rest():
    figure = plotting.graphs([panel("a")] * 3, columns=2)
    assert [axes.get_visible() for axes in figure.axes] == [True, True, True, False]


def test_panel_settings_reach_the_axes():
    settings = {"log": "y", "x_limits": (0, 5), "x_ticks": [0, 1000], "spread": {"a": np.ones(3)}}
    (axes,) = plotting.graphs([panel("a", title="t", x_label="x", y_label="y", **settings)]).axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("t", "x", "y")
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1,000"]
    assert len(axes.containers) == 1, "the error bars"


def test_curves_start_at_epoch_1():
    (axes,) = plotting.curves({"loss": [3.0, 2.0], "rate": ([0, 10], [1.0, 2.0])}, log_y=True).axes
    first, second = axes.get_lines()
    np.testing.assert_array_equal(first.get_xdata(), [1, 2])
    np.testing.assert_array_equal(second.get_xdata(), [0, 10])
    assert axes.get_yscale() == "log"


def test_panels_draw_one_plot_per_group():
    figure = plotting.panels({f"stage {i}": {"loss": [2.0, 1.0]} for i in range(4)}, title="all")
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == [
        f"stage {i}" for i in range(4)
    ]
    assert figure.get_suptitle() == "all"


def test_of_two_equal_lines_both_are_seen():
    y = np.arange(30.0)
    figure = plotting.graphs([{"series": {name: (y, y) for name in ("even", "dashed", "third", "dotted")}}])
    dashes = {line.get_label(): (line.get_linestyle(), line.get_zorder()) for line in figure.axes[0].lines}
    assert len({dashes[name][0] for name in ("even", "dashed", "dotted")}) == 3
    assert dashes["third"][1] < dashes["dashed"][1] < dashes["dotted"][1]


def test_record_of_fit_is_drawn_as_its_dictionary():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    x = np.ones((4, 1))
    monitor = TrainingMonitor(x, x)
    history = model.fit(x, x, validation_data=(x, x), epochs=3, verbose=0, callbacks=[monitor])
    for record, epochs in ((history, [1, 2, 3]), (monitor, [0, 1, 2, 3])):
        expected = {name: values for name, values in record.history.items() if name != "epoch"}
        for figure in (plotting.curves(record), plotting.panels({"run": record})):
            lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
            assert list(lines) == list(expected)
            for name, line in lines.items():
                np.testing.assert_array_equal(line.get_xdata(), epochs)
                np.testing.assert_array_equal(line.get_ydata(), expected[name])


@pytest.mark.parametrize("draw", [plotting.curves, lambda record: plotting.panels({"run": record})])
def test_record_of_fit_is_drawn_at_its_epochs(draw):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    x, both = np.ones((4, 1)), keras.callbacks.History()
    later = model.fit(x, x, initial_epoch=4, epochs=6, verbose=0)
    for _ in range(2):
        model.fit(x, x, epochs=2, verbose=0, callbacks=[both])
    for record, epochs in ((later, [5, 6]), (both, [1, 2, 3, 4])):
        np.testing.assert_array_equal(draw(record).axes[0].get_lines()[0].get_xdata(), epochs)
    rare = model.fit(x, x, validation_data=(x, x), validation_freq=2, epochs=4, verbose=0)
    with pytest.raises(
        InputError, match=r"val_loss'\]` must .* Received: 2 values, 4 epochs. Give a dictionary"
    ):
        draw(rare)


@pytest.mark.parametrize("draw", [plotting.curves, lambda series: plotting.panels({"a": series})])
def test_tensors_and_variables_are_drawn(draw):
    values = [1.0, 2.0]
    kinds = (list, np.array, keras.ops.array, keras.Variable)
    figure = draw(
        {k: kind(values) for k, kind in enumerate(kinds)} | {"pair": (keras.Variable([1, 2]), values)}
    )
    assert [line.get_ydata().tolist() for line in figure.axes[0].get_lines()] == [values] * 5


@pytest.mark.filterwarnings("error")
def test_group_without_curves_is_an_empty_plot():
    figure = plotting.panels({"first": {"loss": [2.0, 1.0]}, "not yet trained": {}})
    assert [len(axes.get_lines()) for axes in figure.axes] == [1, 0]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.curves({}), r"`curves.series` must hold at least one curve. Received: \{\}"),
        (lambda: plotting.curves([1.0, 2.0]), r"or the return value of model.fit. Received: \[1.0, 2.0\]"),
        (lambda: plotting.panels({}), r"at least one group of curves. Received: \{\}"),
        (lambda: plotting.panels({"a": [1.0]}), r"`panels.groups\['a'\]` must .* Received: \[1.0\]"),
        (lambda: plotting.curves(keras.callbacks.History()), r"at least one curve. Received: \{\}"),
        (lambda: plotting.images_and_graphs({}, [panel("a")]), r"Received: 0 rows, 1 panels"),
        (lambda: plotting.images_and_graphs({"a": np.ones((1, 2, 2))}, []), r"Received: 1 rows, 0 panels"),
        (
            lambda: plotting.curves({"a": (1.0, 2.0)}),
            r"`curves.series\['a'\]` must .* Received: \(1.0, 2.0\)",
        ),
        (
            lambda: plotting.curves({"a": (1.0, 2.0, 3.0)}),
            r"pair \(x, values\).* Received: \(1.0, 2.0, 3.0\)",
        ),
        (lambda: plotting.curves({"a": 3.0}), r"be values \(n,\).* Received: 3.0"),
        (lambda: plotting.panels({"g": {"a": ([1], [1, 2])}}), r"`panels.groups\['g'\]\['a'\]` must"),
        (lambda: plotting.graphs([]), r"at least one panel. Received: \[\]"),
    ],
)
def test_nothing_to_draw_is_refused(draw, message):
    with pytest.raises(InputError, match=message):
        draw()
    assert plt.get_fignums() == []
