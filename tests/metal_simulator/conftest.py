import sys

# Fibers and symbol resolution are those of Linux.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]
