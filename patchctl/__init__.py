"""patchctl keeps a stack of patches alive on top of a fast upstream."""

__version__ = "0.1.0"
