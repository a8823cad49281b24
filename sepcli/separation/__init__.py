"""What a recording goes through, from its samples to one file per speaker."""
