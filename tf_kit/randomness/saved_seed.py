"""Saving of the random state of a layer, which Keras leaves out of its files."""

from typing import Any

from tf_kit.typing import LayerMixin


class SavesItsSeed(LayerMixin):
    """Mixin for a layer that saves the state of `self.seed_generator` with its weights.

    A loaded model continues the sequence of random masks of the saved one.
    """

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["seed_state"] = self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        entries = {name: store[name] for name in store.keys()}  # noqa: SIM118 (an HDF5 entry, not a dict)
        seed_state = entries.pop("seed_state", None)
        super().load_own_variables(entries)
        if seed_state is not None:
            self.seed_generator.state.assign(seed_state)
