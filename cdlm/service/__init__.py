"""What serves requests: requests as plain values, models that are allowed, jobs that can be stopped, replays, files."""
