"""The application: command line, settings, wiring of a session."""
