"""PURE: whether to start a run of one job. Asks, beginnings and ends come in as calls; no clock."""


class Demand:
    """The runs of one job in one process: at most one waits to start, at most ``at_once`` are under way.

    No ask is lost: after each there is a look for work, or a run, that begins later than it. Many asks share
    one.
    """

    def __init__(self, *, at_once: int) -> None:
        if at_once < 1:
            raise ValueError("a job needs room for at least one run")
        self._at_once = at_once
        self._waiting = False
        self._again = False  # asked since the last beginning, and not yet answered by a run that waits
        self.under_way = 0

    def ask(self) -> bool:
        """Somebody has work. True: start a run now; it waits to begin, to find nothing or to be given up."""
        if self._waiting or self.under_way >= self._at_once:
            self._again = True
            return False
        self._waiting = True
        return True

    def begin(self, *, asked_here: bool) -> bool:
        """A run is about to begin. False: there is no room, so end it at once; another follows by itself.

        asked_here: the run is the one that ``ask`` or ``end`` had started; others come from another process
        or from before a crash.
        """
        if asked_here:
            self._waiting = False
            self._again = False  # whoever asked until now is served by this run
        if self.under_way >= self._at_once:
            self._again = True
            return False
        self.under_way += 1
        return True

    def end(self) -> bool:
        """A run that began has ended, however. True: start one more, for somebody asked meanwhile."""
        self.under_way -= 1
        if not self._again or self._waiting:
            return False
        self._again = False
        self._waiting = True
        return True

    def found_nothing(self) -> bool:
        """The run that waits looked for work and saw none. True: look again, for somebody asked meanwhile.

        The second look matters: the row of that ask may have been committed after the first one.
        """
        if self._again:
            self._again = False
            return True
        self._waiting = False
        return False

    def give_up(self) -> None:
        """The run that waited cannot be started. What was asked for is left to the next ask or tick."""
        self._waiting = False
        self._again = False
