"""The only sub-package that knows gunicorn: its hooks, master, options and log."""
