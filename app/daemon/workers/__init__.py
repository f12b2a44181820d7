"""Worker processes, one for each loaded model."""
