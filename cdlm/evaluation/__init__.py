"""The yardstick: metrics of texts, the teacher that judges fluency, and seeded targets from held-out records."""
