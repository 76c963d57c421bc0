"""Keras leaves the states of seed generators out of its files; a layer with this mixin takes its own along."""


class SavesItsSeed:
    """Stores the state of `self.seed_generator` beside the weights: masks go on where the saved model stood."""

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["seed_state"] = self.seed_generator.state

    def load_own_variables(self, store):
        entries = {name: store[name] for name in store.keys()}  # noqa: SIM118 (an HDF5 entry, not a dict)
        seed_state = entries.pop("seed_state", None)
        super().load_own_variables(entries)
        if seed_state is not None:
            self.seed_generator.state.assign(seed_state)
