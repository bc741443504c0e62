"""Real servers for tests and benchmarks: private, on free ports of loopback, gone when their block ends."""
