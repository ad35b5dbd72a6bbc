"""Serve one of the subjects on a port, until SIGTERM.

python -m benchmarks.servers {ours,hello,sample} PORT FOLDER [--workers N]
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.servers import sample
from gaussian_processes.serving import main as serving


def main() -> int:
    """Serve."""
    parser = argparse.ArgumentParser("python -m benchmarks.servers", description=__doc__)
    parser.add_argument("subject", choices=["ours", "hello", "sample"])
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path, help="what stands for /opt/ml")
    parser.add_argument(
        "--workers", type=int, default=0, help="as if the machine had as many cores"
    )
    arguments = parser.parse_args()
    if arguments.subject == "sample":
        return sample.serve(arguments.folder, arguments.port)
    os.environ |= {
        "SAGEMAKER_BASE_DIR": str(arguments.folder),
        "SAGEMAKER_BIND_TO_PORT": str(arguments.port),
    }
    if arguments.subject == "hello":
        # The same processes, limits and nginx, with another application in them.
        serving.APPLICATION = "benchmarks.servers.hello:application"
    if arguments.workers:
        # `serve` starts no more workers than there are cores, so for four on two cores it has to
        # count four.
        os.environ["MODEL_SERVER_WORKERS"] = str(arguments.workers)
        serving.available_cpus = lambda: max(arguments.workers, 1)
    return serving.main([])


if __name__ == "__main__":
    sys.exit(main())
