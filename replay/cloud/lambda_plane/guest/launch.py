"""The first lines of an execution environment: put the code and the runtime client on the path, then run the latter.

Started as ``python -s -S -P -B launch.py HANDLER``: no ``site``, so nothing of a virtual environment is visible; no
script folder on the path; no bytecode written beside the deployed code, which on AWS lies on a read-only disk.
"""

import os
import sys

# Before the standard library, as on AWS; the path holds nothing else but the function's own PYTHONPATH.
sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], os.environ["LAMBDA_RUNTIME_DIR"]]

from awslambdaric.__main__ import main  # noqa: E402  (needs the path above)

main(["bootstrap", sys.argv[1]])
