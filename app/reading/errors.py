"""What can go wrong where mail is read for somebody."""


class Busy(Exception):
    """Others are being answered, and there was neither time nor memory left for this: ask again in a moment."""


class ReadingFailed(Exception):
    """The letter was too much for a process: it took too long, or too much memory."""
