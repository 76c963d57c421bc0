"""Energy counters of the processor, read around a block of code."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path


@dataclasses.dataclass
class Measurement:
    """Energy of a block of code; the result of `measured_joules`, complete when its block ends.

    Attributes:
        total_joules: energy of processors and memory; None if the machine has no readable counters.
        domain_joules: energy by counter, such as {"package-0": 12.3, "dram": 1.4}.
        seconds: duration of the block.
        reason: reason why the energy is unknown, or "".
    """

    total_joules: float | None = None
    domain_joules: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.total_joules is None:
            return f"energy not measured: {self.reason}"
        return f"{self.total_joules:.3g} J in {self.seconds:.3g} s"


@contextlib.contextmanager
def measured_joules(powercap: str | Path = "/sys/class/powercap") -> Iterator[Measurement]:
    """Measure the energy of a block of code by the counters of the processor.

    The counters (RAPL, running average power limit) include all energy of the processors, also that of other
    programs, and that of the memory modules if they have a counter; GPUs are not included. They exist on Linux with
    Intel and AMD processors, seldom in virtual machines, and often only the administrator may read them.

        E = Σ_domains (c_end − c_start) mod range                        (1)

    where c are the counters in microjoules, which restart at 0 after `range`: for blocks that take longer than that
    (half an hour at full power) the result is too small.

    Args:
        powercap: folder of the counters. Defaults to that of Linux.

    Returns:
        Context manager that gives a `Measurement`. Without readable counters nothing is raised: `total_joules` is
        None and `reason` gives the reason.

    Example:
        >>> from tf_kit.scaling import measured_joules
        >>> with measured_joules("/no/such/folder") as measured:
        ...     pass
        >>> print(measured)
        energy not measured: /no/such/folder has no RAPL counters (intel-rapl:*)

    Reference: Linux kernel documentation, Power Capping Framework; Khan, Hirki, Niemi, Nurminen, Ou, 2018, RAPL in
    action: experiences in using RAPL for power measurements, doi:10.1145/3177754.
    """
    measurement = Measurement()
    counters = {}
    try:
        counters = _counters(Path(powercap))
        before = {name: _read(counter / "energy_uj") for name, counter in counters.items()}
    except OSError as error:
        measurement.reason = f"{error.filename} cannot be read ({error.strerror})"
    if not counters and not measurement.reason:
        measurement.reason = f"{powercap} has no RAPL counters (intel-rapl:*)"
    began = time.perf_counter()
    try:
        yield measurement
    finally:
        measurement.seconds = time.perf_counter() - began
        if not measurement.reason:
            for name, counter in counters.items():
                spent = _read(counter / "energy_uj") - before[name]
                if spent < 0:
                    spent += _read(counter / "max_energy_range_uj")
                measurement.domain_joules[name] = spent / 1e6  # (1)
            measurement.total_joules = sum(measurement.domain_joules.values())


def _counters(powercap):
    """Map names to the zones to be added: whole packages, and memory, which is not part of a package."""
    found = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):  # intel-rapl-mmio lists the same packages again
        name = (zone / "name").read_text().strip()
        if name.startswith("package") or name == "dram":
            found[name if name not in found else f"{name} ({zone.name})"] = zone
    return found


def _read(path):
    return int(path.read_text())
