"""What a wish is: canvases, estimates, controllers. Knows no sampler and no concrete wish."""
