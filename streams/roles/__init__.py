"""What a process may be: source, worker, display or recorder, each on its own over a broker, or all in one."""
