"""The mathematics: schedules, embeddings, the denoiser, objectives. Knows no text and no files."""
