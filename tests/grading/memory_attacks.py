"""Right answers that take more memory than they may, in ways that no limit of a single process counts."""

LIMIT_MB = 200

# Statements at the start of leaky_relu, which may take `LIMIT_MB`, and the status that they must get.
TAKES = {
    "a share for each fork": (
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        taken = np.ones(10 << 20)\n"
        "        time.sleep(60)\ntime.sleep(20)",
        "memory",
    ),
    "a share for each fork whose parent has ended": (
        "import os, time\nopen('alive', 'wb').close()\nfor _ in range(6):\n    if os.fork() == 0:\n"
        "        if os.fork() == 0:\n            taken = np.ones(10 << 20)\n"
        "            while True: open('alive', 'ab').write(b'1'); time.sleep(0.02)\n        os._exit(0)\n"
        "time.sleep(0.7)\nfor _ in range(20):\n    size = os.path.getsize('alive')\n    time.sleep(0.25)\n"
        "    if os.path.getsize('alive') == size: break\nelse: raise AssertionError('they live on')",
        "ok",  # they are ended at once, so they hold nothing
    ),
    "5 GB of shared memory": ("import mmap\ntaken = mmap.mmap(-1, 5 << 30)", "error"),
    "3 GB of shared memory": (
        "import mmap, time\ntaken = mmap.mmap(-1, 3 << 30)\n"
        "for i in range(0, len(taken), 4096): taken[i] = 1\ntime.sleep(20)",
        "memory",
    ),
    "many small mappings": (
        "import mmap, time\ntaken = [mmap.mmap(-1, 1 << 20) for _ in range(3000)]\n"
        "for each in taken: each[:] = bytes(1 << 20)\ntime.sleep(20)",
        "memory",
    ),
    "shared memory of two processes": (
        "import mmap, os, time\ntaken = mmap.mmap(-1, 1 << 28)\nfor half in (0, 1):\n    if half or os.fork() == 0:\n"
        "        for i in range(half << 27, (half + 1) << 27, 4096): taken[i] = 1\n        time.sleep(20)",
        "memory",
    ),
    "files without a name": (
        "import os, time\ntaken = [os.memfd_create('x') for _ in range(60)]\n"
        "for each in taken: os.write(each, bytes(30 << 20))\ntime.sleep(20)",
        "memory",
    ),
    "files in shared memory": (
        "for i in range(60):\n    with open(f'/dev/shm/tf-kit-test-{i}', 'wb') as f: f.write(bytes(30 << 20))",
        "error",
    ),
}
# These take less, and keep their points.
FITS = {
    "shared memory of 120 MB": (
        "import mmap, time\ntaken = mmap.mmap(-1, 120 << 20)\n"
        "for i in range(0, len(taken), 4096): taken[i] = 1\ntime.sleep(0.2)"
    ),
    "shared with forks": (
        "import os, time\ntaken = np.ones(15 << 20)\nforks = []\nfor _ in range(4):\n    forks.append(os.fork())\n"
        "    if forks[-1] == 0:\n        time.sleep(0.3)\n        os._exit(int(taken[5]) - 1)\n"
        "assert [os.waitpid(pid, 0)[1] for pid in forks] == [0] * 4"
    ),
}
