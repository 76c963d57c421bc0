"""Energy counters of the processor, from files in their format and from those of this machine."""

import os
import re

import numpy as np
import pytest

from tf_kit.scaling import measured_joules


def zone(folder, name, label, microjoules, highest=10**9):
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "name").write_text(f"{label}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text(f"{highest}\n")


def test_packages_and_memory_are_added(tmp_path):
    """Cores are part of a package, and mmio lists the same packages, so they are not added; a counter may restart."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 0)
    zone(tmp_path, "intel-rapl:0:1", "dram", 900_000, highest=1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 0)
    zone(tmp_path, "intel-rapl:1:0", "dram", 0)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    with measured_joules(tmp_path) as measured:
        assert measured.total_joules is None
        zone(tmp_path, "intel-rapl:0", "package-0", 4_000_000)
        zone(tmp_path, "intel-rapl:0:0", "core", 2_000_000)
        zone(tmp_path, "intel-rapl:0:1", "dram", 100_000, highest=1_000_000)
        zone(tmp_path, "intel-rapl:1:0", "dram", 250_000)
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 3_000_000)
    assert measured.domain_joules == pytest.approx(
        {"package-0": 3.0, "dram": 0.2, "package-1": 0.0, "dram (intel-rapl:1:0)": 0.25}
    )
    assert measured.total_joules == pytest.approx(3.45)
    assert str(measured).startswith("3.45 J in")


def test_block_that_raises_is_measured(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)

    seen = []

    def fail():
        with measured_joules(tmp_path) as measured:
            seen.append(measured)
            zone(tmp_path, "intel-rapl:0", "package-0", 2_000_000)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen[0].total_joules == 2.0


def test_without_counters_the_reason_is_given(tmp_path):
    with measured_joules(tmp_path) as measured:
        pass
    assert measured.total_joules is None
    assert "no RAPL counters" in str(measured)
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    with measured_joules(tmp_path) as measured:
        pass
    assert measured.total_joules is None
    assert re.search(r"energy_uj cannot be read \(No such file", measured.reason)


@pytest.mark.skipif(not os.path.isdir("/sys/class/powercap/intel-rapl:0"), reason="no RAPL counters here")
def test_counters_of_this_machine():
    with measured_joules() as measured:
        np.linalg.norm(np.ones((800, 800)) @ np.ones((800, 800)))
    assert measured.total_joules is None or measured.total_joules >= 0
