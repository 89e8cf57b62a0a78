"""What everything else may use and what itself uses nothing: errors, time, numbers, segments."""
