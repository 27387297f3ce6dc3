"""Learning rates that change during a training: functions of the number of steps done."""
