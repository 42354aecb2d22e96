"""``python -m monitor`` is the same as ``vigil``."""

from monitor.cli import main

main()
