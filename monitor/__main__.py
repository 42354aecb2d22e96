"""``python -m monitor`` is the same as ``vigil``."""

from monitor.entry import main

main()
