"""Send single and bulk SMS in the background, on a job queue that lives in your own database."""

__version__ = "0.1.0"
