"""Whatever comes: laws that hold for any octets, tried for seconds in CI and for minutes by ``make fuzz``."""
