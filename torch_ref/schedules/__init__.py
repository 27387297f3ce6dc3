"""The schedules of manual/schedules/ in torch: call step() on them after each optimizer.step()."""
