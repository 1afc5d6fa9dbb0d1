"""One denoising loop, with samplers, steering and selection as values passed in."""
