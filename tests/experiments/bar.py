"""Progress bar that records its total and the epochs that are reported to it."""

from tf_kit.runs.progress import Progress

BARS = []


class Bar(Progress):
    """`Progress` that records; each new one is appended to `BARS`."""

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
