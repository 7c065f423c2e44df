"""The titles of Django's admin. The apps that own the models register them."""

from django.contrib import admin

admin.site.site_header = "PacSync administration"
admin.site.site_title = "PacSync"
admin.site.index_title = "All tables"
