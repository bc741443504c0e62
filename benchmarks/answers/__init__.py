"""What reading by the API costs, beside bare FastAPI on the same server: ``python -m benchmarks.reading --api``."""
