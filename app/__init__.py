"""The app: cdlm in a browser. The library computes; what is here shows and asks."""
