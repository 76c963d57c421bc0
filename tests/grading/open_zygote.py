"""The zygote without seccomp, Landlock and prohibitions: an answer may fork and share memory, as on a lesser system.

python -m grading.open_zygote '<settings as JSON>'
"""

import json
import sys

from tf_kit.grading.sandbox import confinement, prohibitions, zygote

if __name__ == "__main__":
    confinement.filter_program = lambda own=0: None
    confinement._landlock = lambda *_: None
    prohibitions.close = lambda *_: None
    zygote.main(json.loads(sys.argv[1]))
