"""`manage.py healthcheck`."""
