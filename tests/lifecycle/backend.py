"""Asks PostgreSQL for the backend of this thread's connection. It must not know which one it should be."""

from django.db import connection


def ask() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
