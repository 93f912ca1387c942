"""The part of fluocount that runs on the Raspberry Pi. Never imports tensorflow, keras, trainer or convert."""

__version__ = "0.1.0"
