"""Where the records of a session go to stay: files, written on threads of their own (see :mod:`streams.sinks.sink`)."""
