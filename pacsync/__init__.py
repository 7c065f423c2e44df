"""The Django project: settings, URLs, the WSGI application, logging, the database backend."""

__version__ = "1.0.0"
