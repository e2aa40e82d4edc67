"""Everything that reads the outside world and gives Record batches."""
