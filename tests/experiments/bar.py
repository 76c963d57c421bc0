"""A progress bar that remembers what it was promised and what it was told."""

from tf_kit.runs.progress import Progress

BARS = []


class Bar(Progress):
    """As `Progress`; each new one is the last of `BARS`."""

    def __init__(self, total, quiet):
        super().__init__(total, quiet)
        self.total, self.trained, self.skipped = total, 0.0, 0.0
        BARS.append(self)

    def start(self, stage, epochs, first_epoch=0, cost=1.0):
        self.trained += (epochs - first_epoch) * cost
        return super().start(stage, epochs, first_epoch, cost)

    def skip(self, epochs, cost=1.0):
        self.skipped += epochs * cost
        super().skip(epochs, cost)
